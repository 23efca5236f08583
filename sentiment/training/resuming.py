"""Whether a run that was interrupted and the one that goes on are the same run."""

import dataclasses

import numpy as np

from sentiment.data.cache import fingerprint
from sentiment.data.pipeline import BatchPlan
from sentiment.errors import InputError

# Settings that another machine may have otherwise, without changing the run.
NOT_COMPARED = ("tfds_data_dir", "num_devices", "cache_dir", "keep_memory")


def identity(config, groups, plan: BatchPlan) -> dict:
    """What a checkpoint says of its run, as JSON.

    Args:
        config: the run's config, with a `seed`.
        groups: its groups of settings.
        plan: the training batches; their tokens stand for the data.
    """
    settings = {
        name: str(value)
        for group in groups
        for name, value in dataclasses.asdict(group).items()
        if name not in NOT_COMPARED
    }
    tokens = plan.examples.tokens
    flat = np.ascontiguousarray(tokens.flat).tobytes()
    return {
        "settings": settings | {"seed": str(config.seed)},
        "data": fingerprint(flat, str(len(tokens))),
    }


def check_same_run(old: dict, new: dict, folder):
    """Raises an `InputError` with the list of differences.

    Args:
        old: the `identity` in a checkpoint.
        new: that of the run which is to go on from it.
        folder: of the checkpoints.
    """
    lines = [
        f"--{name}: {old['settings'].get(name)} then, {value} now"
        for name, value in new["settings"].items()
        if old["settings"].get(name) != value
    ]
    if not lines and old["data"] != new["data"]:
        lines.append("the texts have changed since then")
    if lines:
        raise InputError(
            f"{folder} holds checkpoints of another run. Give another --workdir, "
            "--overwrite, or the settings it was begun with:\n  " + "\n  ".join(lines)
        )

"""Whether a run that was interrupted and the one that goes on are the same run."""

import dataclasses

import numpy as np

from sentiment.data.cache import fingerprint
from sentiment.data.pipeline import EncodedExamples
from sentiment.errors import InputError

# Settings that another machine may have otherwise: they change the run in the last
# bits of sums at most.
NOT_COMPARED = ("tfds_data_dir", "num_devices", "cache_dir", "keep_memory")


def identity(config, groups, reader: str, *data: EncodedExamples) -> dict:
    """What a checkpoint says of its run, as JSON.

    Args:
        config: the run's config, with a `seed`.
        groups: its groups of settings.
        reader: fingerprint of what made tokens of the texts.
        *data: what is trained and validated on.
    """
    settings = {
        name: str(value)
        for group in groups
        for name, value in dataclasses.asdict(group).items()
        if name not in NOT_COMPARED
    }
    arrays = [
        array
        for examples in data
        for array in (
            examples.tokens.flat,
            examples.tokens.lengths,
            getattr(examples, "labels", ()),  # Documents have none.
        )
    ]
    contents = [np.ascontiguousarray(array).tobytes() for array in arrays]
    return {
        "settings": settings | {"seed": str(config.seed)},
        "data": fingerprint(reader, *contents),
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
        lines.append("the data have changed since then")
    if lines:
        raise InputError(
            f"{folder} holds checkpoints of another run. Give another --workdir, "
            "--overwrite, or the settings it was begun with:\n  " + "\n  ".join(lines)
        )

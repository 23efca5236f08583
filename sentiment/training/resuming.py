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
        "settings": settings_of(config, groups),
        "data": fingerprint(reader, *contents),
    }


def settings_of(config, groups) -> dict[str, str]:
    """What `identity` compares of a run's settings, by name.

    Args:
        config: the run's config, with a `seed`.
        groups: its groups of settings.
    """
    settings = {
        name: str(value)
        for group in groups
        for name, value in dataclasses.asdict(group).items()
        if name not in NOT_COMPARED
    }
    return settings | {"seed": str(config.seed)}


def check_same_run(old: dict, new: dict, folder, holds: str = "checkpoints"):
    """Raises an `InputError` with the list of differences.

    Args:
        old: the `identity` of what is there.
        new: that of the run which is to go on from it.
        folder: where it is.
        holds: what it is.
    """
    before, now = old["settings"], new["settings"]
    lines = [
        f"--{name}: {before.get(name)} then, {now.get(name)} now"
        for name in before | now
        if before.get(name) != now.get(name)
    ]
    if not lines and old["data"] != new["data"]:
        lines.append("the data have changed since then")
    if lines:
        raise InputError(
            f"{folder} holds {holds} of another run. Give another --workdir, "
            "--overwrite, or the settings it was begun with:\n  " + "\n  ".join(lines)
        )

"""Whether a run that was interrupted and the one that goes on are the same run."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from sentiment.data.cache import fingerprint
from sentiment.data.pipeline import EncodedExamples
from sentiment.errors import InputError

FORMAT = 2  # of what a checkpoint holds
# Settings that another machine may have otherwise: they change the run in the last
# bits of sums at most.
NOT_COMPARED = ("tfds_data_dir", "num_devices", "cache_dir", "keep_memory")


def identity(config, groups, reader: str, *data: EncodedExamples) -> dict:
    """What a checkpoint says of its run, as JSON: settings, files, data.

    Args:
        config: the run's config, with a `seed`.
        groups: its groups of settings.
        reader: fingerprint of what made tokens of the texts.
        *data: what is trained and validated on.
    """
    files = {
        f"--{field.name}: {path}": _file_fingerprint(path)
        for field, value in _compared(groups)
        if field.metadata["is_path"]
        for path in ([value] if isinstance(value, str) else value)
        if Path(path).is_file()
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
        "format": FORMAT,
        "settings": settings_of(config, groups),
        "files": files,
        "data": fingerprint(reader, *contents),
    }


def settings_of(config, groups) -> dict[str, str]:
    """What `identity` compares of a run's settings, by name.

    Args:
        config: the run's config, with a `seed`.
        groups: its groups of settings.
    """
    settings = {field.name: str(value) for field, value in _compared(groups)}
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
    lines += [
        f"{name} has changed since then"
        for name, value in new.get("files", {}).items()
        if old.get("files", {}).get(name, value) != value
    ]
    if old.get("format") != new.get("format"):
        lines.append("they were written by another version of this package")
    if not lines and old["data"] != new["data"]:
        lines.append("the data have changed since then")
    if lines:
        raise InputError(
            f"{folder} holds {holds} of another run. Give another --workdir, "
            "--overwrite, or the settings it was begun with:\n  " + "\n  ".join(lines)
        )


def _file_fingerprint(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _compared(groups) -> list[tuple[dataclasses.Field, object]]:
    return [
        (field, getattr(group, field.name))
        for group in groups
        for field in dataclasses.fields(group)
        if field.name not in NOT_COMPARED
    ]

"""Whether a run that was interrupted and the one that goes on are the same run."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from sentiment.config.settings import absolute, default_of, flag_value
from sentiment.data.cache import fingerprint
from sentiment.data.pipeline import EncodedExamples
from sentiment.errors import InputError

FORMAT = 3  # of what a checkpoint holds
# Settings that another machine may have otherwise: they change the run in the last
# bits of sums at most.
NOT_COMPARED = ("tfds_data_dir", "num_devices", "cache_dir", "keep_memory")


def identity(config, preprocessor: str, *data: EncodedExamples) -> dict:
    """What a checkpoint says of its run, as JSON: settings, files, data.

    Args:
        config: of the run, with `groups` of settings and a `seed`.
        preprocessor: fingerprint of what made tokens of the texts.
        *data: what is trained and validated on.
    """
    files = {
        f"--{field.name}: {absolute(path)}": _fingerprint_of(read)
        for field, value in _compared(config)
        if field.metadata["is_path"]
        for path in ([value] if isinstance(value, str) else value)
        if path and (read := _files_of(Path(path)))
    }
    arrays = [
        array
        for examples in data
        for array in (
            examples.tokens.flat,
            examples.tokens.lengths,
            _classes(getattr(examples, "labels", ())),  # Documents have none.
        )
    ]
    contents = [np.ascontiguousarray(array).tobytes() for array in arrays]
    return {
        "format": FORMAT,
        "settings": settings_of(config),
        "defaults": defaults_of(config),
        "files": files,
        "preprocessor": preprocessor,
        "data": fingerprint(*contents),
    }


def settings_of(config) -> dict[str, str]:
    """What `identity` compares of a run's settings, by name.

    Args:
        config: of the run, with `groups` of settings and a `seed`.
    """
    settings = {
        field.name: flag_value(field, value) for field, value in _compared(config)
    }
    return settings | {"seed": str(config.seed)}


def defaults_of(config) -> dict[str, str]:
    """What settings were before there were any: `settings_of` where nothing is said."""
    return {
        field.name: flag_value(field, default_of(field))
        for field, _ in _compared(config)
    }


def check_same_run(old: dict, new: dict, folder, holds: str = "checkpoints"):
    """Raises an `InputError` with the list of differences.

    Args:
        old: the `identity` of what is there.
        new: that of the run which is to go on from it.
        folder: where it is.
        holds: what it is.
    """
    if old.get("format") != new.get("format"):
        raise InputError(
            f"{folder} holds {holds} of another version of this package. Give another "
            "--workdir, or --overwrite."
        )
    # A setting that came later was at its default.
    before = new.get("defaults", {}) | old["settings"]
    now = new["settings"]
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
    if not lines and old["data"] != new["data"]:
        lines.append("the data have changed since then")
    if not lines and old.get("preprocessor") != new.get("preprocessor"):
        lines.append("texts are read by another version of this package")
    if lines:
        raise InputError(
            f"{folder} holds {holds} of another run. Give another --workdir, "
            "--overwrite, or the settings it was begun with:\n  " + "\n  ".join(lines)
        )


def _files_of(path: Path) -> list[Path]:
    """What is read there: a file, or the weights of a model in a folder."""
    if path.is_file():
        return [path]
    patterns = ("model.keras", "*.h5", "*.safetensors")
    return sorted(file for pattern in patterns for file in path.glob(pattern))


def _fingerprint_of(files: list[Path]) -> str:
    digest = hashlib.blake2b()
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _classes(labels) -> np.ndarray:
    """Labels that are classes; a teacher's may differ in the last bits elsewhere."""
    labels = np.asarray(labels)
    return labels if labels.ndim == 1 else labels.argmax(axis=-1)


def _compared(config) -> list[tuple[dataclasses.Field, object]]:
    return [
        (field, getattr(group, field.name))
        for group in config.groups
        for field in dataclasses.fields(group)
        if field.name not in NOT_COMPARED
    ]

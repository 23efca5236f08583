"""What the files of a saved model hold, checked before anything is built of them."""

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import h5py

from sentiment.config import BackboneConfig
from sentiment.errors import InputError

MAX_BYTES = 64 << 20  # of a configuration or a vocabulary, which have far less
MAX_EXPANSION = 100  # times its size in an archive; weights hardly shrink
MAX_CLASSES = 10_000
_OF_SETTINGS = {
    field.name: field.metadata["limits"].get("<=")
    for field in dataclasses.fields(BackboneConfig)
}
# The greatest sizes that are built, those of the settings; a file may say anything.
LIMITS = {
    "num_classes": MAX_CLASSES,
    "num_layers": _OF_SETTINGS["num_layers"],
    "num_heads": _OF_SETTINGS["num_heads"],
    "hidden_dim": _OF_SETTINGS["hidden_dim"],
    "intermediate_dim": _OF_SETTINGS["intermediate_dim"],
    "vocabulary_size": _OF_SETTINGS["vocabulary_size"],
    "max_sequence_length": _OF_SETTINGS["max_positions"],
    "sequence_length": _OF_SETTINGS["sequence_length"],
}
# What Hugging Face's configurations call them.
_OTHER_NAMES = {
    "n_layer": "num_layers",
    "n_head": "num_heads",
    "n_embd": "hidden_dim",
    "n_inner": "intermediate_dim",
    "n_positions": "max_sequence_length",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "hidden_size": "hidden_dim",
    "intermediate_size": "intermediate_dim",
    "max_position_embeddings": "max_sequence_length",
    "vocab_size": "vocabulary_size",
}
_WEIGHTS = (".h5", ".safetensors")
_LEAST_BYTES = 0.25  # of a weight; int4 has half a byte


def check_saved_model(path: Path, files: tuple[str, ...]):
    """Checks that a saved model is whole and has sizes that can be meant.

    Keras refuses code and paths out of the archive by itself (`safe_mode`). Here is
    what it would believe, or find late: it builds whatever size a configuration names,
    and leaves a folder among the temporary ones when it meets a wrong byte.

    Args:
        path: a `.keras` file or the folder of a preset, KerasHub's or Hugging Face's.
        files: what must be in it; configurations among them are checked.

    Raises:
        InputError: a file is missing, damaged or larger than any of its kind, a size
            is out of range or beyond what the weights can be, or label names are no
            names of the classes.
    """
    try:
        with _opened(path) as saved:
            _check_files(path, saved, files)
            sizes = saved.sizes.items()
            stored = sum(size for name, size in sizes if name.endswith(_WEIGHTS))
            for name in files:
                if name.endswith(".json"):
                    for part in _dicts(_json(name, saved.read(name))):
                        _check_part(path, part, stored)
    except InputError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _check_files(path: Path, saved: "_Folder | _Archive", files: tuple[str, ...]):
    missing = [name for name in files if name not in saved.sizes]
    if missing:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    for name, size in saved.sizes.items():
        place = PurePosixPath(name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts:
            raise InputError(
                f"{path} holds {name!r:.100}, which would lie outside of it. It is no "
                "model that Keras has saved."
            )
        limit = MAX_BYTES
        if name.endswith(_WEIGHTS):
            limit = max(limit, MAX_EXPANSION * saved.stored[name])
        if size > limit:
            raise InputError(
                f"{path} has a {name!r:.100} of {size / 1e6:,.0f} MB; at most "
                f"{limit / 1e6:,.0f} MB can be meant. It is no model of this package's."
            )
    saved.check()


def _damaged(path: Path, cause) -> InputError:
    kind = "preset" if path.is_dir() else "Keras model"
    return InputError(
        f"{path} cannot be loaded; it is damaged, incomplete or no {kind} ({cause}). "
        "Train again or copy it again."
    )


class _Folder:
    """The files of a preset; others may lie beside them.

    Attributes:
        sizes: bytes of each file, by its path in the folder.
        stored: the same, as they lie on the disk.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        patterns = ("*.json", *(f"*{w}" for w in _WEIGHTS), "assets/**/*")
        found = [f for p in patterns for f in folder.glob(p) if f.is_file()]
        self.sizes = {f.relative_to(folder).as_posix(): f.stat().st_size for f in found}
        self.stored = self.sizes

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def check(self):
        for name in self.sizes:
            if name.endswith(".h5"):
                h5py.File(self._folder / name).close()


class _Archive:
    """The members of a `.keras` file; see `_Folder`."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        members = archive.infolist()
        self.sizes = {member.filename: member.file_size for member in members}
        self.stored = {member.filename: member.compress_size for member in members}

    def read(self, name: str) -> bytes:
        return self._archive.read(name)

    def check(self):
        wrong = self._archive.testzip()
        if wrong:
            raise zipfile.BadZipFile(f"a wrong byte in {wrong}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Folder | _Archive]:
    if path.is_dir():
        yield _Folder(path)
        return
    with zipfile.ZipFile(path) as archive:
        yield _Archive(archive)


def _json(name: str, content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from error


def _dicts(value: object) -> Iterator[dict]:
    """All objects in a JSON value, the outermost first."""
    queue = [value]
    while queue:
        part = queue.pop()
        if isinstance(part, dict):
            yield part
            queue += part.values()
        elif isinstance(part, list):
            queue += part


def _check_part(path: Path, part: dict, stored: float):
    sizes = {name: part[name] for name in (*LIMITS, *_OTHER_NAMES) if name in part}
    for name, size in sizes.items():
        limit = LIMITS[_OTHER_NAMES.get(name, name)]
        is_count = isinstance(size, int) and not isinstance(size, bool)
        if size is not None and not (is_count and 1 <= size <= limit):
            raise InputError(
                f"{path} says {name}={size!r:.40}; it must be an integer from 1 to "
                f"{limit:,}. The file is not as it was saved."
            )
    known = {_OTHER_NAMES.get(name, name): size or 0 for name, size in sizes.items()}
    width, layers = known.get("hidden_dim", 0), known.get("num_layers", 1)
    # Of each layer at least one square matrix; and the table of tokens.
    declared = width * (known.get("vocabulary_size", 0) + layers * width)
    if 0 < stored < declared * _LEAST_BYTES:  # Loading says that there are none.
        raise InputError(
            f"{path} says it has {declared:,} weights or more, its files hold "
            f"{stored:,.0f} bytes. It is not as it was saved: copy it again."
        )
    if "label_names" in part and "num_classes" in part:
        names = part["label_names"]
        if names is None:
            return
        are_names = isinstance(names, list) and all(isinstance(n, str) for n in names)
        if not are_names or len(set(names)) != part["num_classes"]:
            raise InputError(
                f"{path} names its {part['num_classes']} classes {names!r:.100}; there "
                "must be a different string for each. The file is not as it was saved."
            )

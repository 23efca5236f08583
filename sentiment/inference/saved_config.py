"""What a saved model says of itself, checked before it is built."""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sentiment.config.settings import LENGTH
from sentiment.errors import InputError

MAX_BYTES = 64 << 20  # of a configuration, which has some thousand
MAX_CLASSES = 10_000
# The greatest sizes that are built; a file may say anything.
LIMITS = {
    "num_classes": MAX_CLASSES,
    "num_layers": 1000,
    "num_heads": 1024,
    "hidden_dim": 65_536,
    "intermediate_dim": 262_144,
    "vocabulary_size": LENGTH,
    "max_sequence_length": LENGTH,
    "sequence_length": LENGTH,
}
_LEAST_BYTES = 0.25  # of a weight; int4 has half a byte


def check_saved_config(path: Path, files: tuple[str, ...]):
    """Checks sizes and label names of a saved model.

    What cannot be read is left to loading itself, which says so.

    Args:
        path: a `.keras` file or the folder of a preset.
        files: names of the configurations in it.

    Raises:
        InputError: a size is out of range or beyond what the weights' files can hold,
            or label names are no names of the classes.
    """
    stored = _stored_bytes(path)
    for name in files:
        try:
            content = _content(path, name)
            config = json.loads(content) if content else {}
        except InputError:
            raise
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
        for part in _dicts(config):
            _check_part(path, part, stored)


def _content(path: Path, name: str) -> bytes:
    if path.is_dir():
        file = path / name
        if not file.is_file():
            return b""
        _check_size(path, name, file.stat().st_size)
        return file.read_bytes()
    with zipfile.ZipFile(path) as archive:
        _check_size(path, name, archive.getinfo(name).file_size)
        return archive.read(name)


def _check_size(path: Path, name: str, size: int):
    if size > MAX_BYTES:
        raise InputError(
            f"{path} has a {name} of {size / 1e6:,.0f} MB; a configuration has at most "
            f"{MAX_BYTES / 1e6:,.0f} MB. It is none of this package's."
        )


def _stored_bytes(path: Path) -> float:
    """Of all weights."""
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.glob("*.h5"))
        with zipfile.ZipFile(path) as archive:
            return sum(
                i.file_size for i in archive.infolist() if "weights" in i.filename
            )
    except (OSError, zipfile.BadZipFile):
        return math.inf


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
    for name, limit in LIMITS.items():
        size = part.get(name)
        is_count = isinstance(size, int) and not isinstance(size, bool)
        if size is not None and not (is_count and 1 <= size <= limit):
            raise InputError(
                f"{path} says {name}={size!r:.40}; it must be an integer from 1 to "
                f"{limit:,}. The file is not as it was saved."
            )
    width, layers = part.get("hidden_dim") or 0, part.get("num_layers") or 1
    # Of each layer at least one square matrix; and the table of tokens.
    declared = width * ((part.get("vocabulary_size") or 0) + layers * width)
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

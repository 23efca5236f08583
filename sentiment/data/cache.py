"""What one run computes from texts and the next can reuse, on disk.

Entries are keyed by a hash of everything that they depend on, so none is ever
out of date, and any may be deleted at any time.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sentiment.runtime.outputs import check_private, make_private

_CHECKSUM = "checksum"
MAX_BYTES = 2 << 30  # of all entries together; the least recently used go first


def fingerprint(*parts: str | bytes | Iterable[str]) -> str:
    """A hash of strings, bytes and sequences of strings, told apart by length.

    Example:
    >>> fingerprint(["ab", "c"]) == fingerprint(["a", "bc"])
    False
    """
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        items = [part] if isinstance(part, str | bytes) else part
        digest.update(b"part")
        for item in items:
            if isinstance(item, str):
                item = item.encode("utf-8", "surrogatepass")
            digest.update(len(item).to_bytes(8, "little"))
            digest.update(item)
    return digest.hexdigest()


def _checksum(key: str, arrays: dict[str, np.ndarray]) -> str:
    parts = [key]
    for name, array in sorted(arrays.items()):
        array = np.asarray(array)
        parts += [name, str(array.dtype), str(array.shape), array.tobytes()]
    return fingerprint(*parts)


class ArrayCache:
    """Named arrays on disk, by key.

    An entry holds a checksum of its arrays, so that one which is not as it was written
    counts as damaged.

    Args:
        folder: where entries go; made when the first one is written. Empty:
            nothing is kept and nothing found.
        max_bytes: of all entries; beyond, the least recently used are deleted.

    Raises:
        InputError: anyone may write to the folder, and so decide what is read.
    """

    def __init__(self, folder: str | Path, max_bytes: int = MAX_BYTES):
        self.folder = Path(folder) if folder else None
        if self.folder is not None:
            check_private(self.folder)
        self.max_bytes = max_bytes

    def load(self, key: str, *names: str) -> dict[str, np.ndarray] | None:
        """The arrays of a key; `None` if one of `names` is missing or damaged."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as entry:
                arrays = {name: entry[name] for name in names}
                if entry[_CHECKSUM].item() != _checksum(key, arrays):
                    return None
        except Exception:  # A damaged archive fails in every way there is.
            return None
        with contextlib.suppress(OSError):  # A shared cache may be read-only.
            os.utime(path)  # used now
        return arrays

    def save(self, key: str, arrays: dict[str, np.ndarray]):
        """Keeps arrays; a cache that cannot be written is no error."""
        if self.folder is None:
            return
        try:
            make_private(self.folder)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".") as fresh:
                path = Path(fresh) / "entry.npz"
                np.savez(path, **arrays, **{_CHECKSUM: _checksum(key, arrays)})
                os.replace(path, self._path(key))
            self._prune()
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _prune(self):
        entries = [(p.stat(), p) for p in self.folder.glob("*.npz")]
        excess = sum(stat.st_size for stat, _ in entries) - self.max_bytes
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size

"""Files that appear when they are whole, and not at all if something goes wrong."""

import contextlib
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from sentiment.errors import InputError, StorageError

try:
    import fcntl
except ImportError:  # Windows, where leftovers stay
    fcntl = None

_LEFTOVER = ".sentiment-tmp"
_FRESH = 600  # seconds


def check_target(path: str | Path, overwrite: bool):
    """Checks, before any work, that a file can be written.

    Raises:
        InputError: its folder does not exist or cannot be written to, it is a
            folder, or it exists and not `overwrite`.
    """
    path = Path(path)
    with storage_errors(path):
        os.path.realpath(path, strict=False)
        if not os.path.isdir(path.parent):
            raise InputError(f"The folder {path.parent} does not exist.")
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder.")
        exists = _exists(path)
        if exists and not overwrite:
            raise _taken(path)
        tempfile.TemporaryFile(dir=path.parent).close()


def check_is_no_input(path: str | Path, inputs: Iterable[str | Path]):
    """Checks that a file to be written is none of those that are read.

    Raises:
        InputError: it is one of them.
    """
    for other in inputs:
        if os.path.realpath(path) == os.path.realpath(other):
            raise InputError(f"The input and the output are the same file: {other}.")


def _exists(path: Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return os.path.lexists(path)  # a link to nothing is something
    return True


def _taken(path: Path) -> InputError:
    return InputError(f"{path} exists. Choose another name or pass --overwrite.")


def check_private(folder: str | Path):
    """Checks that not anyone may write to a folder whose files are believed.

    Raises:
        InputError: anyone may.
    """
    with contextlib.suppress(OSError, AttributeError):  # not there yet; Windows
        status = os.stat(folder)
        if status.st_mode & stat.S_IWOTH:
            is_own = status.st_uid == os.getuid() and not status.st_mode & stat.S_ISVTX
            advice = f", or run: chmod o-w {folder}" if is_own else "."
            raise InputError(
                f"Anyone may write to the cache folder {folder}, and what is in it "
                f"decides what is computed. Give another --cache_dir{advice}"
            )


def make_private(folder: str | Path):
    """Makes a folder, and those above it, to which not anyone may write."""
    folder = Path(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o755, exist_ok=True)  # whatever the umask is


@contextlib.contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Around what writes a file: what fails there becomes a `StorageError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path} cannot be written: {reason}.") from error


@contextlib.contextmanager
def new_file(path: str | Path, overwrite: bool = True) -> Iterator[Path]:
    """A place to write a file to, which takes the file's name at a clean end.

    Where the block ends in an exception nothing is left. What a killed process left in
    the folder is removed.

    Args:
        path: the file.
        overwrite: whether one that is there by then is replaced.

    Raises:
        InputError: there is one, and not `overwrite`.
        StorageError: it cannot be written, as on a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}{_LEFTOVER}")
    with storage_errors(path):
        _sweep(path.parent)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # An error of the block is its own: it may be of another file.
        yield temporary
        with storage_errors(path):
            _publish(temporary, path, overwrite)
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _publish(temporary: Path, path: Path, overwrite: bool):
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # fails if another process was first
    except FileExistsError:
        raise _taken(path) from None
    except OSError:
        # No links on this file system: a moment stays in which another could come.
        if os.path.lexists(path):
            raise _taken(path) from None
        os.replace(temporary, path)


def _sweep(folder: Path):
    """Removes what killed processes left; a file in use is locked."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for leftover in folder.glob(f".*{_LEFTOVER}"):
            # A fresh one may be about to be locked.
            if time.time() - leftover.stat().st_mtime < _FRESH:
                continue
            with contextlib.suppress(OSError), open(leftover, "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(leftover)


def write_whole(path: str | Path, text: str, overwrite: bool = True):
    """Writes a text file that appears when it is whole.

    Raises:
        InputError: see `new_file`.
    """
    with new_file(path, overwrite) as temporary, storage_errors(path):
        temporary.write_text(text, encoding="utf-8")

"""From a path to bytes or text: compression, archives, encodings."""

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa

from sentiment.errors import InputError

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ARCHIVE = ".zip"
COMPRESSIONS = (*_OPENERS, ARCHIVE)
# Longest first: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip or a workbook (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old workbook (.xls)",
    b"PAR1": "Parquet",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "PDF",
    b"SQLite format 3": "an SQLite database",
}
# What tables are usually in that are not UTF-8, the most common first.
_LIKELY = (
    "cp1252",
    "gb18030",
    "shift_jis",
    "euc_kr",
    "big5",
    "cp1251",
    "cp1250",
    "euc_jp",
    "cp1254",
    "cp1253",
    "cp1256",
    "cp1255",
    "koi8_r",
)
_SAMPLE = 1 << 18  # bytes around the first bad one, from which encodings are guessed
_SHOWN = 40  # characters
_MAX_HINTS = 4


def inner_name(path: Path) -> str:
    """The name of the table in a file: without compression, or inside of an archive.

    Raises:
        InputError: an archive cannot be read, or holds more than one file, or none.
    """
    if path.suffix.lower() in _OPENERS:
        return path.stem
    if path.suffix.lower() != ARCHIVE:
        return path.name
    with input_errors(path):
        _check_regular(path)
        with zipfile.ZipFile(path) as archive:
            return Path(_member(path, archive).filename).name


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The bytes of the table in a file."""
    _check_regular(path)
    suffix = path.suffix.lower()
    if suffix == ARCHIVE:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_member(path, archive)) as stream,
        ):
            yield stream
    else:
        with _OPENERS.get(suffix, open)(path, "rb") as stream:
            yield stream


@contextmanager
def open_text(path: Path, encoding: str = "") -> Iterator[TextIO]:
    """The text of the table in a file, line ends as they are.

    Args:
        path: the file.
        encoding: Python's name of one; empty: UTF-8, or what a byte order mark says.
    """
    with open_bytes(path) as stream:
        buffered = io.BufferedReader(stream) if not hasattr(stream, "peek") else stream
        head = buffered.peek(256)[:256]
        encoding = encoding or _marked(head)
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
        # Valid UTF-8, but no text.
        if encoding == "utf-8" and _is_wide(head):
            raise InputError(_undecodable(path, encoding))
        with io.TextIOWrapper(buffered, encoding, newline="") as text:
            yield text


def _is_wide(head: bytes) -> bool:
    """Whether bytes look like text of two or more bytes a character."""
    return head.count(b"\0") > len(head) // 4


def _marked(head: bytes) -> str:
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


def _check_regular(path: Path):
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # open() refuses folders
        raise InputError(
            f"{path} is a pipe or a device, which cannot be read twice. Save what it "
            "gives to a file first."
        )


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file in an archive; what macOS adds does not count."""
    files = [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX/")
        and not Path(info.filename).name.startswith(".")
    ]
    if len(files) != 1:
        names = ", ".join(info.filename for info in files[:5]) or "none"
        raise InputError(
            f"{path} must hold one table, it holds {len(files)} files: {names:.200}. "
            "Unpack the one that is meant."
        )
    return files[0]


@contextmanager
def input_errors(path: Path, encoding: str = "") -> Iterator[None]:
    """Around what reads a file: what fails there becomes an `InputError`.

    Args:
        path: the file.
        encoding: in which it is read, as of `open_text`.
    """
    try:
        try:
            yield
        except UnicodeError:
            # The file is read again, which may fail otherwise.
            raise InputError(_undecodable(path, encoding)) from None
    except (
        UnicodeError,
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        NotImplementedError,  # a compression that zipfile does not know
        RuntimeError,  # an encrypted member
        pa.ArrowException,
    ) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _undecodable(path: Path, encoding: str) -> str:
    """What is wrong with a file that is not text in the encoding it should be in."""
    with open_bytes(path) as stream:
        head = stream.read(4096)
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            return f"{path} is {what}, not text. Give it the suffix of what it is."
    encoding = encoding or _marked(head)
    is_unmarked = encoding == "utf-8" and _is_wide(head)
    line, offset = (1, 0) if is_unmarked else _first_bad(path, encoding)
    known = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
    message = f"{path}, line {line}: not {known}."
    hints = _hints(path, offset) if not encoding.startswith("utf-16") else []
    if not hints:
        return f"{message} No common encoding reads it. Is it text at all?"
    listed = "".join(
        f"\n  --encoding={name} reads that line as {shown!r}" for name, shown in hints
    )
    return f"{message} Say which encoding it is in:{listed}"


def _first_bad(path: Path, encoding: str) -> tuple[int, int]:
    """The line of the first bytes that cannot be decoded, and about where they are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, offset, after_return = 1, 0, False
    with open_bytes(path) as stream:
        while True:
            chunk = stream.read(1 << 12)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                good = getattr(error, "object", b"")[: getattr(error, "start", 0)]
                text = good.decode(encoding, "ignore")
                return line + _line_ends(text, after_return), offset + len(good)
            line += _line_ends(text, after_return)
            after_return = text.endswith("\r") if text else after_return
            offset += len(chunk)
            if not chunk:
                return line, offset


def _line_ends(text: str, after_return: bool) -> int:
    """How many lines end in a piece of a file, which may be cut after a return."""
    both = text.count("\r\n") + (after_return and text.startswith("\n"))
    return text.count("\n") + text.count("\r") - both


def _hints(path: Path, offset: int) -> list[tuple[str, str]]:
    """Encodings that read the whole file, likeliest first, each with a sample."""
    import charset_normalizer  # here: 50 ms that good files need not wait

    with open_bytes(path) as stream:
        stream.seek(max(0, offset - _SAMPLE // 2))
        sample = stream.read(_SAMPLE)
    if _is_wide(sample[:256]):
        is_little = sample[1::2].count(b"\0") > sample[::2].count(b"\0")
        names = ["utf_16_le" if is_little else "utf_16_be"]
    else:
        matches = charset_normalizer.from_bytes(sample, cp_isolation=list(_LIKELY))
        ranked = sorted(
            (round(match.chaos, 2), -match.coherence, _LIKELY.index(name))
            for match in matches
            # Those that read a sample alike are one match.
            for name in match.could_be_from_charset
            if name in _LIKELY
        )
        names = [_LIKELY[place] for *_, place in ranked]
    reading = (name for name in dict.fromkeys(names) if _reads(path, name))
    return [
        (name, _sample_of(path, name, offset))
        for name in itertools.islice(reading, _MAX_HINTS)
    ]


def _reads(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_bytes(path) as stream:
            while chunk := stream.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _sample_of(path: Path, encoding: str, offset: int) -> str:
    """What stands about a place in a file, in its line."""
    with open_bytes(path) as stream:
        # An even number of bytes before, for UTF-16.
        stream.seek(max(0, offset - offset % 2 - 2 * _SHOWN))
        before = stream.read(offset - stream.tell()).decode(encoding, "replace")
        after = stream.read(8 * _SHOWN).decode(encoding, "replace")
    before = before.replace("\r", "\n").rpartition("\n")[2][-_SHOWN // 2 :]
    return (before + (after.splitlines() or [""])[0])[:_SHOWN]

"""Tables as people keep them: a corpus of files, each with what must be read of it."""

import bz2
import csv
import gzip
import io
import itertools
import lzma
import zipfile
from dataclasses import dataclass, field

WORDS = {
    "utf-8": "naïve 好 😀 Größe",
    "utf-8-sig": "naïve 好 😀 Größe",
    "utf-16": "naïve 好 😀 Größe",
    "gb18030": "这部电影非常好看",
    "cp1252": "très bien, “déjà vu”",
    "cp1251": "очень хорошо",
    "shift_jis": "映画は最高でした",
}
SEPARATORS = {",": ".csv", ";": ".csv", "|": ".csv", "\t": ".tsv"}
QUOTING = {
    "minimal": csv.QUOTE_MINIMAL,
    "all": csv.QUOTE_ALL,
    "escaped": csv.QUOTE_ALL,
    "none": csv.QUOTE_NONE,
}
LINE_ENDS = ("\n", "\r\n", "\r")
HEADERS = ("plain", "spaced", "repeated", "none")
COMPRESSIONS = ("", ".gz", ".bz2", ".xz", ".zip")


@dataclass(frozen=True)
class OddFile:
    """A file, how it is to be read, and what is in it.

    Attributes:
        name: with suffixes.
        content: its bytes.
        rows: `(text, label)` as strings, one for each row.
        options: of `TableConfig`.
    """

    name: str
    content: bytes
    rows: list[tuple[str, str]]
    options: dict = field(default_factory=dict)


def odd_files():
    """All that make sense of what is above."""
    combinations = itertools.product(WORDS, SEPARATORS, QUOTING, LINE_ENDS, HEADERS)
    for number, combination in enumerate(combinations):
        compression = COMPRESSIONS[number % len(COMPRESSIONS)]
        yield odd_file(number, *combination, compression)


def odd_file(number, encoding, separator, quoting, line_end, header, compression):
    """One of them."""
    rows = _rows(WORDS[encoding], separator, quoting)
    if line_end == "\r":  # Python's csv quotes no other line end then.
        rows = [(text.replace("\n", "\r"), label) for text, label in rows]
    names = {
        "plain": ["id", "text", "label"],
        "spaced": [" id", "text ", " label "],
        "repeated": ["", "text", "label"],
        "none": ["id", "text", "label"],
    }[header]
    extra = ["", ""] if header == "repeated" else []
    lines = [[str(n), *row, *["" for _ in extra]] for n, row in enumerate(rows)]
    if header != "none":
        lines.insert(0, [*names, *extra])
    text = _written(lines, separator, quoting, line_end)
    options = {}
    if encoding not in ("utf-8", "utf-8-sig", "utf-16"):
        options["encoding"] = encoding
    if header == "none":
        options["columns"] = tuple(names)
    suffix = SEPARATORS[separator]
    name = (
        f"{number}{suffix}{compression}" if compression != ".zip" else f"{number}.zip"
    )
    content = text.encode(encoding)
    return OddFile(
        name, _packed(content, compression, f"{number}{suffix}"), rows, options
    )


def _rows(words, separator, quoting):
    """Good cells, blank ones, the same twice, and all that quotes can hold."""
    rows = [
        (words, "good"),
        ("", "bad"),
        ("plain", ""),
        ("plain", "good"),
        ("plain", "good"),
        ("  spaces stay ", "bad"),
        ("007", "1.50"),
        ("=1+1", "NULL"),
        ('said "hi" twice', "bad"),
    ]
    if separator != ",":
        rows = [*rows, ("commas, of course", "good")]
    else:
        rows = [(text.replace(",", ""), label) for text, label in rows]
    if quoting == "none" and separator == "\t":
        # A quote that opens and never closes, and one that closes lines later.
        rows = [*rows, ('"open', "bad"), ("between", "good"), ('shut"', "good")]
    elif quoting != "none":
        rows = [
            *rows,
            (f"a{separator}b", "good"),
            ("two\nlines", "bad"),
            ("two\r\nlines", "bad"),
            ('"all of it"', "good"),
            ('end"', "good"),
        ]
    return rows


def _written(lines, separator, quoting, line_end):
    stream = io.StringIO()
    if quoting == "none":
        for line in lines:
            stream.write(separator.join(line) + line_end)
        return stream.getvalue()
    escapes = quoting == "escaped"
    writer = csv.writer(
        stream,
        delimiter=separator,
        quoting=QUOTING[quoting],
        lineterminator=line_end,
        doublequote=not escapes,
        escapechar="\\" if escapes else None,
    )
    writer.writerows(lines)
    return stream.getvalue()


def _packed(content, compression, name):
    if compression == ".zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"folder/{name}", content)
            archive.writestr(f"__MACOSX/folder/._{name}", b"\0")
        return stream.getvalue()
    pack = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }
    return pack[compression](content)

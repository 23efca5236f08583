"""Tables of JSON: lines, arrays, and what pandas writes."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct
from sentiment.data.tables.rows import BadRow, Header, Parsed, Row
from sentiment.data.tables.streams import open_text
from sentiment.errors import InputError

_HEADER_ROWS = 1000  # whose keys are taken for the columns of the table
_BLANK = " \t\r\n"


def parse_lines(path: Path, options: TableConfig) -> Parsed:
    """One JSON object a line."""
    # Rows may each have other keys.
    rows = itertools.islice(_lines(path, options), _HEADER_ROWS)
    yield Header(_keys(rows))
    yield from _lines(path, options)


def parse_json(path: Path, options: TableConfig) -> Parsed:
    """JSON of any of the shapes in which tables are kept.

    These are one object a line or after another, an array of objects, maybe as the
    one array in an object, and pandas' `orient`s: records, columns, index, split,
    table; or lists by column.
    """
    if _has_one_object_a_line(path, options):
        yield from parse_lines(path, options)
        return
    with open_text(path, options.encoding) as stream:
        text = stream.read()
    start = _after_blank(text, 0)
    if text[start : start + 1] == "[":
        rows = list(_arrays(path, text, start))
        yield Header(_keys(rows))
        yield from rows
        return
    values = list(_values(path, text, start))
    if len(values) != 1 or not isinstance(values[0][1], dict):
        rows = [(line, _row(value)) for line, value in values]
        yield Header(_keys(rows))
        yield from rows
        return
    table = values[0][1]
    rows = _rows_of(path, table, options.text_column or "text")
    rows = [(number, _row(row)) for number, row in enumerate(rows, 1)]
    header = [_column(name) for name in table["columns"]] if _is_split(table) else []
    yield Header(header or _keys(rows), "row")
    yield from rows


def _keys(rows) -> list[str]:
    return list(
        dict.fromkeys(k for _, row in rows if isinstance(row, dict) for k in row)
    )


def _lines(path: Path, options: TableConfig) -> Iterator[tuple[int, Row | BadRow]]:
    with open_text(path, options.encoding) as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                yield line, _parsed(text.rstrip())


def _parsed(text: str) -> Row | BadRow:
    try:
        return _row(_DECODER.decode(text))
    except json.JSONDecodeError as error:
        return BadRow(f"broken JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a huge integer, deep nesting
        return BadRow(f"broken JSON: {error}")


def _row(value: object) -> Row | BadRow:
    if isinstance(value, dict):
        return value
    return BadRow(f"must be a JSON object, is a {type(value).__name__}")


def _has_one_object_a_line(path: Path, options: TableConfig) -> bool:
    with open_text(path, options.encoding) as stream:
        first, second = itertools.islice(
            itertools.chain(filter(str.strip, stream), itertools.repeat("")), 2
        )
    return bool(second) and isinstance(_parsed(first.strip()), dict)


def _arrays(path, text: str, at: int) -> Iterator[tuple[int, Row | BadRow]]:
    """The elements of an array, or of several one after another, with their lines."""
    lines = _LineCount(text)
    while at < len(text):
        if text[at] != "[":
            raise InputError(
                f"{path}, line {lines.at(at)}: broken JSON, after the array comes "
                f"{text[at : at + 10]!r}."
            )
        at = yield from _elements(path, text, at, lines)
        at = _after_blank(text, at)


def _elements(path, text: str, at: int, lines: "_LineCount"):
    at = _after_blank(text, at + 1)
    while text[at : at + 1] != "]":
        line = lines.at(at)
        value, at = _decoded(path, text, at, line)
        yield line, _row(value)
        at = _after_blank(text, at)
        if text[at : at + 1] == ",":
            at = _after_blank(text, at + 1)
        elif text[at : at + 1] != "]":
            raise InputError(
                f"{path}, line {lines.at(at)}: broken JSON, the array goes on with "
                f"{text[at : at + 10]!r}."
                if text[at:].strip()
                else f"{path} ends inside of an array: a part of it is missing."
            )
    return at + 1


def _values(path, text: str, at: int) -> Iterator[tuple[int, object]]:
    """The values that stand one after another, each with its line."""
    lines = _LineCount(text)
    while at < len(text):
        line = lines.at(at)
        value, at = _decoded(path, text, at, line)
        yield line, value
        at = _after_blank(text, at)


def _decoded(path, text: str, at: int, line: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: broken JSON: {error.msg} at column "
            f"{error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {line}: broken JSON: {error}") from None


def _after_blank(text: str, at: int) -> int:
    while text[at : at + 1] in _BLANK and at < len(text):
        at += 1
    return at


class _LineCount:
    """Lines of growing places in a text."""

    def __init__(self, text: str):
        self._text, self._at, self._line = text, 0, 1

    def at(self, place: int) -> int:
        """The line of a place, from 1."""
        self._line += self._text.count("\n", self._at, place)
        self._at = place
        return self._line


def _is_split(value: dict) -> bool:
    return all(isinstance(value.get(name), list) for name in ("columns", "data"))


def _rows_of(path, value: dict, text_column: str) -> list[object]:
    """The rows of one object, by its shape; see `parse_json`."""
    parts = list(value.values())
    if _is_split(value):
        names = distinct([_column(name) for name in value["columns"]])
        return [
            dict(zip(names, row, strict=True))
            if isinstance(row, list) and len(row) == len(names)
            else row
            for row in value["data"]
        ]
    lists = [part for part in parts if isinstance(part, list)]
    if text_column in value and len(lists) == len(parts):
        if len(set(map(len, lists))) > 1:
            raise InputError(
                f"{path}: the lists of the columns differ in length: "
                + ", ".join(f"{name!r} {len(part)}" for name, part in value.items())
            )
        return [dict(zip(value, row, strict=True)) for row in zip(*parts, strict=True)]
    arrays = [part for part in lists if part and isinstance(part[0], dict)]
    if len(arrays) == 1 and text_column not in value:
        return arrays[0]
    if parts and all(isinstance(part, dict) for part in parts):
        if text_column not in value and text_column in parts[0]:
            return parts
        keys = dict.fromkeys(key for part in parts for key in part)
        return [
            {name: part[key] for name, part in value.items() if key in part}
            for key in keys
        ]
    return [value]


def _column(name: object) -> str:
    """A name of pandas, which may be a number or several levels."""
    return ".".join(map(str, name)) if isinstance(name, list) else str(name)


def _object(pairs: list[tuple[str, object]]) -> Row:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r:.60} stands there twice")
    return value


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text:.60} is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number)

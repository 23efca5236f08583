"""Reading users' own tables (CSV, TSV, JSONL, Parquet), one row at a time."""

import csv
import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.errors import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
PLAIN_SUFFIX = ".txt"  # one text a line

_MAX_FIELD = 1 << 26  # characters; also bounds what an open quote can take in
_BATCH_ROWS = 1024
_HEADER_ROWS = 1000  # of JSONL, whose keys are taken for its columns


def table_suffix(path: str | Path, or_plain: bool = False) -> str:
    """Returns the lowercase suffix of a table; InputError if it is none of ours.

    Args:
        path: the table.
        or_plain: whether plain text, one text a line, is taken as well.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES or (or_plain and suffix == PLAIN_SUFFIX):
        return suffix
    listed = ", ".join(SUFFIXES)
    wanted = (
        f"Texts are read from {listed}, or from {PLAIN_SUFFIX} with one text a line."
        if or_plain
        else f"A table must end in one of {listed}."
    )
    raise InputError(f"{wanted} Received: {path}")


def column_names(path: str | Path) -> list[str]:
    """Returns a table's column names; for JSONL the keys of its first rows.

    Raises:
        InputError: see `read_rows`; or a JSONL file has no valid row.
    """
    parsed = _parse(Path(path))
    columns = next(parsed)
    if not columns:
        bad = "; ".join(
            f"line {line}: {row}" for line, row in itertools.islice(parsed, 3)
        )
        raise InputError(f"{path} has no columns. {bad}".rstrip())
    return columns


def read_rows(
    path: str | Path,
    required_columns: Sequence[str] = (),
    on_bad_row: Callable[[int, str], None] | None = None,
) -> Iterator[tuple[int, dict[str, object]]]:
    """Streams the rows of a table, with their place in the file.

    CSV and TSV values are strings; JSONL and Parquet values keep their types.
    Blank lines are skipped. Bad quoting costs one line, and reading goes on in
    the next: an open quote does not take the rest of the file with it.

    Example:
    >>> for line, row in read_rows("reviews.csv", ["text"]):
    ...     print(line, row["text"])

    Args:
        path: a .csv, .tsv, .jsonl or .parquet file. Text is UTF-8, with or
            without a byte order mark; CSV and TSV begin with a header.
        required_columns: columns that every row must have.
        on_bad_row: called with (line, reason) for a row that cannot be parsed,
            which is then left out. Without it such a row is an error.

    Returns:
        An iterator over (line, row): the 1-based physical line where the row
        begins, for Parquet the 1-based row number; and the values by column.

    Raises:
        InputError: in the call, the file cannot be opened or is of another
            suffix, a column is missing or named twice; while iterating, the
            file has no rows or is not UTF-8 (even with `on_bad_row`: nothing in
            it can be trusted), or a row is bad and `on_bad_row` is None.
    """
    path = Path(path)
    parsed = _parse(path)
    columns = next(parsed)
    missing = [name for name in required_columns if name not in columns]
    if columns and missing:
        raise InputError(
            f"{path} has no column {_listed(missing)}. It has: {_listed(columns)}."
        )
    return _valid_rows(path, parsed, tuple(required_columns), on_bad_row)


def _valid_rows(path, parsed, required_columns, on_bad_row):
    empty = True
    for line, row in parsed:
        empty = False
        if isinstance(row, dict):
            missing = [name for name in required_columns if name not in row]
            if not missing:
                yield line, row
                continue
            row = f"no column {_listed(missing)}"
        if on_bad_row is None:
            raise InputError(f"{path}, {place(path)} {line}: {row}")
        on_bad_row(line, row)
    if empty:
        raise InputError(f"{path} has no rows.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def place(path: Path) -> str:
    """What a number in a message counts: `row` of a Parquet file, else `line`."""
    return "row" if table_suffix(path) == ".parquet" else "line"


def _parse(path: Path) -> Iterator:
    """Yields the columns, then (line, row) or, for a bad row, (line, reason)."""
    # CSV and JSONL go through the standard library, not pyarrow: a bad row is
    # reported by its physical line, also after quoted fields that span lines,
    # where pyarrow knows row numbers only; and predict must write values back
    # unchanged, where pyarrow would infer types ("007" becomes 7).
    parser = {
        ".csv": lambda path: _parse_csv(path, ","),
        ".tsv": lambda path: _parse_csv(path, "\t"),
        ".jsonl": _parse_jsonl,
        ".parquet": _parse_parquet,
    }[table_suffix(path)]
    with input_errors(path):
        parsed = parser(path)
        columns = next(parsed)
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if repeated:
            raise InputError(f"{path} has several columns named {_listed(repeated)}.")
        yield columns
        yield from parsed


@contextmanager
def input_errors(path: Path) -> Iterator[None]:
    """Around what reads a file: what fails there becomes an `InputError`."""
    try:
        yield
    except UnicodeDecodeError:
        raise InputError(_not_utf8(path)) from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _not_utf8(path: Path) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        # Bad bytes become lone surrogates, which valid UTF-8 never decodes to.
        bad = re.compile("[\ud800-\udfff]").search
        line = next((n for n, text in enumerate(stream, 1) if bad(text)), 1)
    with open(path, "rb") as stream:
        utf16 = stream.read(2) in (b"\xff\xfe", b"\xfe\xff")
    return (
        f"{path}, line {line}: not UTF-8. Convert the file, for example with\n"
        f"  iconv -f {'UTF-16' if utf16 else 'WINDOWS-1252'} -t UTF-8 "
        f"'{path}' > '{path.with_stem(path.stem + '-utf8')}'\n"
        "or save it as 'CSV UTF-8' in the spreadsheet."
    )


def open_text(path: Path) -> TextIO:
    """UTF-8 text, with or without a byte order mark, line ends as they are."""
    return open(path, encoding="utf-8-sig", newline="")


def _csv_records(stream: TextIO, delimiter: str) -> Iterator[tuple[int, list | str]]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    line = 1
    row_lines, again = [], deque()
    while True:
        lines = _recorded(stream, again, row_lines)
        try:
            for fields in csv.reader(lines, delimiter=delimiter, strict=True):
                if fields:
                    yield line, fields
                line += len(row_lines)
                row_lines.clear()
            return
        except csv.Error as error:
            yield line, f"bad quoting, is a quote not closed or not doubled? ({error})"
            again.extendleft(reversed(row_lines[1:]))
            line += 1
            row_lines.clear()


def _recorded(stream: TextIO, again: deque[str], row_lines: list[str]) -> Iterator[str]:
    while line := again.popleft() if again else next(stream, ""):
        row_lines.append(line)
        yield line


def _parse_csv(path: Path, delimiter: str) -> Iterator:
    with open_text(path) as stream:
        records = _csv_records(stream, delimiter)
        line, header = next(records, (1, "no header, the file is empty"))
        if isinstance(header, str):
            raise InputError(f"{path}, line {line}: {header}")
        yield header
        for line, fields in records:
            if isinstance(fields, str):
                yield line, fields
            elif len(fields) == len(header):
                yield line, dict(zip(header, fields, strict=True))
            elif len(fields) > 1 or fields[0].strip():  # a blank line has one field
                yield line, f"{len(fields)} fields instead of {len(header)}"


def _parse_jsonl(path: Path) -> Iterator:
    # Rows may each have other keys: one without the text is a bad row, a file
    # without it has no such column.
    rows = itertools.islice(_json_rows(path), _HEADER_ROWS)
    yield list(
        dict.fromkeys(k for _, row in rows if isinstance(row, dict) for k in row)
    )
    yield from _json_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[int, dict | str]]:
    with open_text(path) as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                yield line, _json_object(text.rstrip())


def _json_object(text: str) -> dict[str, object] | str:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"broken JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a huge integer, deep nesting
        return f"broken JSON: {error}"
    if isinstance(value, dict):
        return value
    return f"must be a JSON object, is a {type(value).__name__}"


def _parse_parquet(path: Path) -> Iterator:
    with pq.ParquetFile(path) as table:
        yield table.schema_arrow.names
        batches = table.iter_batches(_BATCH_ROWS)
        yield from enumerate((row for b in batches for row in _rows(path, b)), 1)


def _rows(path: Path, batch: pa.RecordBatch) -> list[dict[str, object]]:
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError) as error:  # single nanoseconds, year 10000
        raise InputError(f"{path} holds a value that Python cannot: {error}") from None

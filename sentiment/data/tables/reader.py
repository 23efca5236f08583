"""Reading users' own tables, one row at a time, whatever their format.

To add a format, write what parses it (see `rows.py`) and name it in `_PARSERS`.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from sentiment.config.tables import TableConfig
from sentiment.data.tables import delimited, json_rows, parquet, workbook
from sentiment.data.tables.names import distinct, find_column
from sentiment.data.tables.rows import BadRow, Header, Parsed, Row
from sentiment.data.tables.streams import COMPRESSIONS, inner_name, input_errors
from sentiment.errors import InputError

# CSV and JSON go through the standard library, not pyarrow: a bad row is reported by
# its physical line, also after quoted fields that span lines, where pyarrow knows row
# numbers only; and predict must write values back unchanged, where pyarrow would
# infer types ("007" becomes 7).
_PARSERS: dict[str, Callable[[Path, TableConfig], Parsed]] = {
    ".csv": delimited.parse_csv,
    ".tsv": delimited.parse_tsv,
    ".txt": delimited.parse_txt,
    ".jsonl": json_rows.parse_lines,
    ".ndjson": json_rows.parse_lines,
    ".json": json_rows.parse_json,
    ".parquet": parquet.parse_parquet,
    ".xlsx": workbook.parse_workbook,
    ".xls": workbook.parse_workbook,
    ".ods": workbook.parse_workbook,
}
_WITH_HEADER = {".csv", ".tsv"}
_SHOWN_ROWS = 3


class Table:
    """A table of one's own, read once from its beginning.

    CSV and TSV values are strings; JSON, Parquet and workbooks keep their types. Blank
    lines are skipped. Bad quoting costs one line, and reading goes on in the next: an
    open quote does not take the rest of the file with it.

    Example:
    >>> table = Table("reviews.csv")
    >>> text = table.key("text")
    >>> for place, row in table.rows():
    ...     print(place, row[text])

    Args:
        path: a file of one of the suffixes of `_PARSERS`, maybe compressed (.gz, .bz2,
            .xz) or alone in a .zip.
        options: how it is to be read.

    Attributes:
        header: names of the columns as they stand in the file; of JSON, the keys of
            its first rows.
        keys: of the columns in rows, each different.
        place: what a place counts, "line" of the file (where the row begins) or "row".

    Raises:
        InputError: the file cannot be opened, or is of another suffix; while it is
            read, it has no rows, or is not text of its encoding.
    """

    def __init__(self, path: str | Path, options: TableConfig = TableConfig()):  # noqa: B008, frozen
        self._path = path = Path(path)
        suffix = table_suffix(path)
        parse = _PARSERS[suffix]
        self._may_lack_header = suffix in _WITH_HEADER and not options.columns
        self._parsed = _guarded(path, options, parse)
        header: Header = next(self._parsed)
        self.header = tuple(header.names)
        self.keys = tuple(distinct(header.names))
        self.place = header.place

    def key(self, name: str) -> str:
        """The key of a column in rows.

        Raises:
            InputError: there is no such column, or there are several.
        """
        if not self.header:
            bad = self._first_bad() or "It is empty."
            raise InputError(f"{self._path} has no columns. {bad}")
        place = find_column(self._path, self.header, name, self._may_lack_header)
        return self.keys[place]

    def _first_bad(self) -> str:
        bad = (
            f"{self.place} {number}: {row.reason}"
            for number, row in self._parsed
            if isinstance(row, BadRow)
        )
        return "; ".join(itertools.islice(bad, _SHOWN_ROWS))

    def __iter__(self) -> Iterator[tuple[int, Row | BadRow]]:
        """All rows with their places, 1-based, bad ones too."""
        empty = True
        for numbered in self._parsed:
            empty = False
            yield numbered
        if empty:
            raise InputError(f"{self._path} has no rows.")

    def rows(
        self, on_bad_row: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Row]]:
        """The good rows with their places.

        Args:
            on_bad_row: called with the place of a bad row and what is wrong with it.
                Without it such a row is an `InputError`.
        """
        for number, row in self:
            if isinstance(row, dict):
                yield number, row
            elif on_bad_row is None:
                raise InputError(f"{self._path}, {self.place} {number}: {row.reason}")
            else:
                on_bad_row(number, row.reason)


def _guarded(path: Path, options: TableConfig, parse) -> Parsed:
    with input_errors(path, options.encoding):
        yield from parse(path, options)


def table_suffix(path: str | Path) -> str:
    """The lowercase suffix of a table, without that of its compression.

    Raises:
        InputError: it is none that can be read.
    """
    name = inner_name(Path(path))
    suffix = Path(name).suffix.lower()
    if suffix in _PARSERS:
        return suffix
    raise InputError(
        f"A table must end in one of {', '.join(_PARSERS)}, maybe followed by one of "
        f"{', '.join(COMPRESSIONS)}. Received: {path}"
    )

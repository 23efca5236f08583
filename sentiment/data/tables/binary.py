"""Tables that are no text: Parquet and workbooks."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct, listed
from sentiment.data.tables.rows import BadRow, Header, Parsed, Row
from sentiment.data.tables.streams import open_bytes
from sentiment.errors import InputError

_BATCH_ROWS = 1024


def parse_parquet(path: Path, options: TableConfig) -> Parsed:
    """A Parquet file; values keep their types."""
    del options  # says nothing of Parquet
    with open_bytes(path) as stream, pq.ParquetFile(stream) as table:
        names = table.schema_arrow.names
        yield Header(names, "row")
        keys = distinct(names)
        batches = table.iter_batches(_BATCH_ROWS)
        yield from enumerate((row for b in batches for row in _rows(path, b, keys)), 1)


def _rows(path: Path, batch: pa.RecordBatch, keys: list[str]) -> list[Row]:
    columns = {
        key: _values(path, key, column)
        for key, column in zip(keys, batch.columns, strict=True)
    }
    return [
        dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]


def _values(path: Path, key: str, column: pa.Array) -> list[object]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError) as error:  # single nanoseconds, year 10000
        try:
            return column.cast(pa.string()).to_pylist()
        except (pa.ArrowException, ValueError):  # text that is not UTF-8, too
            raise InputError(
                f"{path} holds a value in column {key!r} that Python cannot: {error}"
            ) from None


def parse_workbook(path: Path, options: TableConfig) -> Parsed:
    """One sheet of a workbook; the first row that is not empty names the columns."""
    import python_calamine  # here: other tables do without

    with open_bytes(path) as stream:
        content = stream.read()
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        rows = list(_numbered(_sheet(path, book, options.sheet)))
        header = rows.pop(0)[1] if rows else []
        # Cells beyond the last name make columns without one.
        width = max(map(_width, [header, *(cells for _, cells in rows)]))
        header += [None] * (width - len(header))
        names = ["" if name is None else str(name) for name in header[:width]]
        if options.columns:
            raise InputError(f"--columns is for CSV and TSV files. Received: {path}.")
        yield Header(names, "row")
        keys = distinct(names)
        for number, cells in rows:
            cells += [None] * (width - len(cells))
            row = dict(zip(keys, cells, strict=False))
            is_header = width > 1 and cells[:width] == header[:width]
            yield number, BadRow("the header again", row) if is_header else row
    except python_calamine.CalamineError as error:
        raise InputError(f"{path} cannot be read as a workbook: {error}") from None


def _sheet(path: Path, book, name: str):
    names = book.sheet_names
    if not names:
        raise InputError(f"{path} has no sheets.")
    if name:
        if name not in names:
            raise InputError(f"{path} has no sheet {name!r}. It has: {listed(names)}.")
        return book.get_sheet_by_name(name)
    sheets = [book.get_sheet_by_name(each) for each in names]
    filled = [sheet for sheet in sheets if sheet.total_height]
    if len(filled) > 1:
        filled_names = listed([sheet.name for sheet in filled])
        raise InputError(
            f"{path} has {len(filled)} sheets that are not empty: {filled_names}. Say "
            "which is meant: --sheet=NAME."
        )
    return (filled or sheets)[0]


def _numbered(sheet) -> Iterator[tuple[int, list[object]]]:
    """Rows that are not empty, with the numbers that a spreadsheet shows."""
    for number, cells in enumerate(sheet.to_python(skip_empty_area=False), 1):
        values = [_cell(value) for value in cells]
        if any(value is not None for value in values):
            yield number, values


def _cell(value: object) -> object:
    """A cell: nothing instead of an empty one, whole numbers as such."""
    if value == "":
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _width(cells: list[object]) -> int:
    """The number of cells up to the last that is not empty."""
    return max((i for i, cell in enumerate(cells, 1) if cell is not None), default=0)

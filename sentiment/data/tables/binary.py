"""Tables that are no text: Parquet and workbooks."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct, listed
from sentiment.data.tables.rows import Header, Parsed, Row
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
    try:
        return batch.rename_columns(keys).to_pylist()
    except (ValueError, OverflowError) as error:  # single nanoseconds, year 10000
        raise InputError(f"{path} holds a value that Python cannot: {error}") from None


def parse_workbook(path: Path, options: TableConfig) -> Parsed:
    """One sheet of a workbook; the first row that is not empty names the columns."""
    import python_calamine  # here: other tables do without

    with open_bytes(path) as stream:
        content = stream.read()
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        rows = _numbered(_sheet(path, book, options.sheet))
        number, header = next(rows, (1, []))
        while header and header[-1] is None:
            header.pop()
        names = ["" if name is None else str(name) for name in header]
        if options.columns:
            raise InputError(f"--columns is for CSV and TSV files. Received: {path}.")
        yield Header(names, "row")
        keys = distinct(names)
        for number, cells in rows:
            cells += [None] * (len(keys) - len(cells))
            yield number, dict(zip(keys, cells, strict=False))
    except python_calamine.CalamineError as error:
        raise InputError(f"{path} cannot be read as a workbook: {error}") from None


def _sheet(path: Path, book, name: str):
    names = book.sheet_names
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

"""Tables in Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.config.tables import TableConfig
from sentiment.data.tables.names import distinct
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

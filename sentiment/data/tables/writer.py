"""Writing tables (CSV, TSV, JSONL, Parquet) in chunks, all or nothing."""

import codecs
import csv
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sentiment.errors import InputError
from sentiment.runtime.outputs import check_target, new_file, storage_errors

_HALF = "sentiment.half_a_character"
# UTF-8's encoder takes bytes, and strings of ASCII alone.
codecs.register_error(_HALF, lambda error: ("\ufffd".encode(), error.start + 1))
_FORMULA = re.compile(r"\s*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class TableWriter:
    """Writes a table chunk by chunk; the file appears when all went well.

    Rows go to a temporary file in the same folder, which takes the target's
    name at a clean end of the `with` block and is removed after an exception.

    CSV and TSV hold nested values as JSON text and None as an empty field.
    JSONL keeps every type JSON has. Half a character (a lone surrogate, legal in JSON)
    becomes U+FFFD in every format. Missing values become empty fields or
    nulls; in JSONL they stay missing and rows may have further columns.

    Example:
    >>> with TableWriter("out.csv") as writer:
    ...     writer.write([{"text": "Good.", "label": "pos"}])

    Args:
        path: the target, ending in .csv, .tsv, .jsonl or .parquet.
        overwrite: whether an existing file may be replaced.
        columns: the columns in order. By default those of the first chunk, in
            the order of its first row.
        schema: the Parquet schema of the first columns. By default it is inferred from
            the first chunk, where a column of nulls only counts as one of strings.
        header: names of `columns` in the header of CSV and TSV, where they may be
            repeated. By default `columns` themselves.
        escape_formulas: whether strings of CSV and TSV that a spreadsheet would run as
            a formula get a ' before them.
        types: of Parquet columns that are not in `schema` and shall not be inferred.

    Raises:
        InputError: the target cannot be written to, or it exists and not
            `overwrite`.
    """

    def __init__(
        self,
        path: str | Path,
        overwrite: bool = False,
        columns: Sequence[str] | None = None,
        schema: pa.Schema | None = None,
        header: Sequence[str] | None = None,
        escape_formulas: bool = False,
        types: dict[str, pa.DataType] | None = None,
    ):
        self._path = path = Path(path)
        self._suffix = _output_suffix(path)
        check_target(path, overwrite)
        self._overwrite = overwrite
        self._header = header
        self._types = types or {}
        self._cell = _harmless_cell if escape_formulas else _cell
        self._resources = ExitStack()
        if columns is None and schema is not None:
            columns = schema.names
        self._columns = None if columns is None else tuple(columns)
        self._schema = schema
        self._stream = self._append = self._parquet = None

    def __enter__(self) -> "TableWriter":
        text = {"encoding": "utf-8", "errors": _HALF, "newline": ""}
        place = self._resources.enter_context(new_file(self._path, self._overwrite))
        with storage_errors(self._path):
            if self._suffix == ".parquet":
                self._stream = open(place, "wb")
            else:
                self._stream = open(place, "w", **text)
        return self

    def write(self, rows: Sequence[dict[str, object]]) -> None:
        """Appends rows, each a dict from column name to value.

        Raises:
            InputError: a column is not among those of the table (JSONL takes
                it), or a value does not fit its Parquet column.
            StorageError: there is no room.
        """
        if not rows:
            return
        with storage_errors(self._path):
            self._write(rows)

    def _write(self, rows):
        if self._append is None:
            self._begin(rows)
        if self._suffix != ".jsonl":
            known = set(self._columns)
            new = next(
                (name for row in rows for name in row if name not in known), None
            )
            if new is not None:
                raise InputError(
                    f"{self._path}: a row has a column {new!r}, the table has "
                    f"{list(self._columns)}. A .jsonl file takes such rows."
                )
        self._append(rows)

    def __exit__(self, exception_type, exception, traceback) -> None:
        # Closed before it is published or removed; the first error is what counts.
        try:
            if exception_type is None:
                with storage_errors(self._path):
                    self._finish()
        except BaseException as error:
            self._close_anyhow()
            self._resources.__exit__(type(error), error, error.__traceback__)
            raise
        self._close_anyhow()
        self._resources.__exit__(exception_type, exception, traceback)

    def _close_anyhow(self):
        with suppress(Exception):
            if self._parquet is not None:
                self._parquet.close()
        with suppress(Exception):
            self._stream.close()

    def _finish(self) -> None:
        if self._append is None:
            self._begin([])
        if self._parquet is not None:
            self._parquet.close()
        self._stream.close()

    def _begin(self, rows: Sequence[dict[str, object]]) -> None:
        if self._columns is None:
            self._columns = tuple(dict.fromkeys(name for row in rows for name in row))
        if self._suffix == ".jsonl":
            self._append = self._append_jsonl
        elif self._suffix == ".parquet":
            self._begin_parquet(rows)
            self._append = self._append_parquet
        else:
            # csv.writer quotes a field with "\r" only where its line end has one.
            self._csv = csv.writer(
                SimpleNamespace(
                    write=lambda line: self._stream.write(line[:-2] + "\n")
                ),
                delimiter="\t" if self._suffix == ".tsv" else ",",
                lineterminator="\r\n",
            )
            if self._columns:
                names = self._header or self._columns
                self._csv.writerow([self._cell(name) for name in names])
            self._append = self._append_csv

    def _append_csv(self, rows):
        self._csv.writerows(
            [self._cell(row.get(c)) for c in self._columns] for row in rows
        )

    def _append_jsonl(self, rows):
        for row in rows:
            ordered = {name: row[name] for name in self._columns if name in row} | row
            self._stream.write(_json(ordered) + "\n")

    def _begin_parquet(self, rows):
        given = list(self._schema or [])
        more = [
            (name, self._types.get(name) or self._array(name, rows).type)
            for name in self._columns[len(given) :]
        ]
        self._schema = pa.schema(
            [
                *given,
                *((n, pa.string() if pa.types.is_null(t) else t) for n, t in more),
            ],
            self._schema.metadata if self._schema else None,
        )
        try:
            self._parquet = pq.ParquetWriter(self._stream, self._schema)
        except pa.ArrowException as error:
            raise InputError(f"{self._path} cannot be written: {error}") from None

    def _append_parquet(self, rows):
        arrays = [
            self._array(key, rows, field.type)
            for key, field in zip(self._columns, self._schema, strict=True)
        ]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def _array(self, name, rows, kind=None) -> pa.Array:
        values = [row.get(name) for row in rows]
        try:
            if not all(_fits(value, kind) for value in values):
                raise ValueError("unknown nested keys or decimals would be lost")
            return _as_array(values, kind)
        except UnicodeEncodeError:
            return pa.array([_whole(value) for value in values], kind)
        except (
            pa.ArrowException,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise InputError(
                f"{self._path}: the values of column {name!r} do not fit "
                f"{kind or 'one Parquet type'}: {error}"
            ) from None


def _as_array(values: list[object], kind: pa.DataType | None) -> pa.Array:
    if kind is not None and pa.types.is_temporal(kind):
        # What Python cannot hold, such as nanoseconds, was read as text.
        texts = [value if isinstance(value, str) else None for value in values]
        others = [None if isinstance(value, str) else value for value in values]
        cast = pa.array(texts, pa.string()).cast(kind)
        return pc.coalesce(cast, pa.array(others, kind))
    return pa.array(values, kind)


def _fits(value: object, kind: pa.DataType | None) -> bool:
    """Whether Arrow keeps a value: it drops unknown keys and decimals in silence."""
    if isinstance(kind, pa.StructType) and isinstance(value, dict):
        known = {field.name: field.type for field in kind}
        return all(key in known and _fits(value[key], known[key]) for key in value)
    if isinstance(kind, pa.ListType) and isinstance(value, list):
        return all(_fits(item, kind.value_type) for item in value)
    if isinstance(value, float) and kind is not None and pa.types.is_integer(kind):
        return value.is_integer()
    return True


def _whole(value: object) -> object:
    """A value whose strings hold no half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", _HALF).decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _cell(value: object) -> object:
    return _json(value) if isinstance(value, dict | list | tuple) else value


def _harmless_cell(value: object) -> object:
    """As OWASP advises; a number with its sign is no formula."""
    value = _cell(value)
    if (
        isinstance(value, str)
        and _FORMULA.match(value)
        and not _NUMBER.fullmatch(value)
    ):
        return f"'{value}"
    return value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """What JSON lacks: NumPy values become Python's own, a date its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _output_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    raise InputError(
        f"A table to write must end in {', '.join(SUFFIXES)}. Received: {path}"
    )

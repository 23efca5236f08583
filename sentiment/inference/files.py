"""Predictions of files of any size."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from sentiment.config import TableConfig
from sentiment.data.labelled_rows import TEXT_COLUMN, is_missing
from sentiment.data.tables.reader import Table, table_suffix
from sentiment.data.tables.rows import BadRow
from sentiment.data.tables.streams import open_bytes
from sentiment.data.tables.writer import TableWriter, check_target
from sentiment.errors import InputError
from sentiment.inference.rows import (
    EMPTY_NOTE,
    NotedRow,
    noted_row,
    predict_chunks,
    prediction_columns,
)
from sentiment.models.ensemble import Ensemble
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.runtime.outputs import check_is_no_input

SHOWN_BAD_ROWS = 10
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclass(frozen=True)
class PredictedFile:
    """How `predict_file` went.

    Attributes:
        num_rows: rows written, one for each of the input.
        num_without_text: of these, how many have no label because they have no text,
            or nothing is left of it after cleaning.
        num_bad_rows: of these, how many have none because they cannot be read.
        first_bad_rows: the places and what is wrong, for the first of them.
    """

    num_rows: int
    num_without_text: int
    num_bad_rows: int
    first_bad_rows: tuple[str, ...]


def predict_file(
    classifier: PackedTextClassifier | Ensemble,
    input_path: str | Path,
    output_path: str | Path,
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
    escape_formulas: bool = False,
    **reading: Any,
) -> PredictedFile:
    """Classifies a file of any size; memory does not grow with it.

    All columns and all rows are kept, in their order. Added are `label`, `score` (the
    label's probability), `probability_<class>` for each class, and `note`, which says
    why where there is no label. Where the file has a column of such a name already,
    the added ones begin with `predicted_`.

    The whole input is read once before, so that what is wrong with it is said before
    the work begins.

    Args:
        classifier: the model.
        input_path: a table, see `Table`.
        output_path: CSV, TSV, JSONL or Parquet; it appears when all went well.
        batch_size: rows computed at once.
        overwrite: whether to replace an existing output.
        escape_formulas: whether CSV and TSV get a ' before what a spreadsheet would
            run.
        **reading: how the input is read, as of `TableConfig`: its `text_column`,
            `encoding`, `delimiter` and so on; `skip_bad_rows` gives rows that cannot be
            read a note instead of a label.

    Raises:
        InputError: a file or column is missing, a row cannot be read and not
            `skip_bad_rows`, the output exists and not `overwrite`.
    """
    options = TableConfig(**reading)
    check_is_no_input(output_path, [input_path])
    check_target(output_path, overwrite)
    is_parquet = Path(output_path).suffix.lower() == ".parquet"
    # A Parquet input has types of its own.
    with_types = is_parquet and table_suffix(input_path) != ".parquet"
    found = _survey(input_path, options, with_types)
    if found.bad_rows and not options.skip_bad_rows:
        listed = "".join(f"\n  {row}" for row in found.bad_rows)
        more = found.num_bad_rows - len(found.bad_rows)
        raise InputError(
            f"{input_path}: bad rows: {found.num_bad_rows}. --skip_bad_rows gives them "
            f"a note instead of a label.{listed}"
            + (f"\n  and {more} more" if more else "")
        )
    table = Table(input_path, options)
    text_key = table.key(options.text_column or TEXT_COLUMN)
    added = prediction_columns(classifier.label_names, found.columns)
    header = [*table.header, *found.columns[len(table.header) :], *added]
    num_written = num_empty = 0
    with (
        TableWriter(
            output_path,
            overwrite,
            [*found.columns, *added],
            _schema(input_path, is_parquet),
            header,
            escape_formulas,
            _types(found, added) if is_parquet else None,
        ) as writer,
        tqdm(desc="Predicting", unit=" rows", total=found.num_rows) as progress,
    ):
        rows = _noted_rows(table, text_key)
        for chunk in predict_chunks(classifier, rows, added, batch_size):
            writer.write(chunk)
            num_written += len(chunk)
            num_empty += sum(row[added[-1]] == EMPTY_NOTE for row in chunk)
            progress.update(len(chunk))
    return PredictedFile(
        num_written,
        found.num_without_text + num_empty,
        found.num_bad_rows,
        found.bad_rows,
    )


@dataclass(frozen=True)
class _Found:
    """What a first reading of a file finds."""

    columns: list[str]  # keys of all rows: those of JSON may each have others
    num_rows: int
    num_without_text: int
    num_bad_rows: int
    bad_rows: tuple[str, ...]  # the first of them
    types: dict[str, set[type]]  # of the values by column, if they were asked for


def _survey(path: str | Path, options: TableConfig, with_types: bool) -> _Found:
    table = Table(path, options)
    types = defaultdict(set)
    text_key = table.key(options.text_column or TEXT_COLUMN)
    columns, bad_rows = dict.fromkeys(table.keys), []
    num_rows = num_without_text = num_bad_rows = 0
    for number, row in tqdm(table, "Checking", unit=" rows", delay=1, leave=False):
        num_rows += 1
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
            if with_types:
                for name, value in row.items():
                    types[name].add(type(value))
            if is_missing(row.get(text_key)):
                num_without_text += 1
                continue
            reason = noted_row(row, text_key).note
        else:
            reason = row.reason
        if reason:
            num_bad_rows += 1
            if num_bad_rows <= SHOWN_BAD_ROWS:
                bad_rows.append(f"{table.place} {number}: {reason}")
    return _Found(
        list(columns), num_rows, num_without_text, num_bad_rows, tuple(bad_rows), types
    )


def _noted_rows(table: Table, text_key: str) -> Iterator[NotedRow]:
    for number, row in table:
        if isinstance(row, BadRow):
            yield NotedRow(row.values, "", f"{table.place} {number}: {row.reason}")
        else:
            yield noted_row(row, text_key)


def _schema(input_path, is_parquet: bool) -> pa.Schema | None:
    """From Parquet to Parquet, columns keep their types."""
    if not is_parquet or table_suffix(input_path) != ".parquet":
        return None
    with open_bytes(Path(input_path)) as stream:
        return pq.read_schema(stream)


def _types(found: _Found, added: list[str]) -> dict[str, pa.DataType]:
    """Types that hold all values of a column, where that is known.

    Raises:
        InputError: no type holds all values of a column.
    """
    own = {name: _common_type(name, types) for name, types in found.types.items()}
    known = {name: kind for name, kind in own.items() if kind is not None}
    numbers = dict.fromkeys(added[1:-1], pa.float64())
    return known | {added[0]: pa.string(), **numbers, added[-1]: pa.string()}


def _common_type(name: str, types: set[type]) -> pa.DataType | None:
    """What holds values of all these types; `None` if the values must tell."""
    types = types - {type(None)}
    if not types:
        return pa.string()
    if types == {int, float}:
        return pa.float64()
    if len(types) == 1:
        return _SCALARS.get(*types)
    if types & _SCALARS.keys():
        listed = " and ".join(sorted(kind.__name__ for kind in types))
        raise InputError(
            f"Column {name!r} holds {listed}, which no type of Parquet holds both. "
            "Give a .jsonl --output."
        )
    return None

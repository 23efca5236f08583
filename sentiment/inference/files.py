"""Predictions of files of any size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from sentiment.data.table_reader import column_names, read_rows, table_suffix
from sentiment.data.table_writer import TableWriter
from sentiment.errors import InputError
from sentiment.inference.rows import predict_chunks, prediction_columns
from sentiment.models.packed_text_classifier import PackedTextClassifier

SHOWN_BAD_ROWS = 10


@dataclass(frozen=True)
class PredictedFile:
    """How `predict_file` went.

    Attributes:
        num_rows: rows written.
        num_bad_rows: rows left out because they could not be read.
        first_bad_rows: the line number and what was wrong, for the first of them.
    """

    num_rows: int
    num_bad_rows: int
    first_bad_rows: tuple[str, ...]


def predict_file(
    classifier: PackedTextClassifier,
    input_path: str | Path,
    output_path: str | Path,
    *,
    text_column: str = "text",
    batch_size: int | None = None,
    overwrite: bool = False,
    skip_bad_rows: bool = False,
) -> PredictedFile:
    """Classifies a file of any size; memory does not grow with it.

    All columns are kept. Added are `label`, `score` (the label's probability),
    `probability_<class>` for each class, and `note`, which says so where a
    text was empty after cleaning. Where the file has a column of such a name
    already, the added ones begin with `predicted_`.

    Args:
        classifier: the model.
        input_path: CSV, TSV, JSONL or Parquet.
        output_path: one of these too; it appears when all went well.
        text_column: column of the text.
        batch_size: rows computed at once.
        overwrite: whether to replace an existing output.
        skip_bad_rows: whether to leave out rows that cannot be read.

    Raises:
        InputError: a file or column is missing, a row cannot be read and not
            `skip_bad_rows`, the output exists and not `overwrite`.
    """
    if Path(input_path).resolve() == Path(output_path).resolve():
        raise InputError(f"The input and the output are the same file: {input_path}.")
    present = _columns(input_path)
    if text_column not in present:
        raise InputError(
            f"{input_path} has no column {text_column!r}. It has: "
            f"{', '.join(present)}. Give another `text_column`."
        )
    added = prediction_columns(classifier.label_names, present)
    bad_rows: list[str] = []
    num_written = 0
    schema = _schema(input_path, output_path, added)
    with (
        TableWriter(output_path, overwrite, [*present, *added], schema) as writer,
        tqdm(desc="Predicting", unit=" rows") as progress,
    ):
        rows = _text_rows(input_path, text_column, bad_rows if skip_bad_rows else None)
        for chunk in predict_chunks(classifier, rows, text_column, added, batch_size):
            writer.write(chunk)
            num_written += len(chunk)
            progress.update(len(chunk))
    return PredictedFile(num_written, len(bad_rows), tuple(bad_rows[:SHOWN_BAD_ROWS]))


def _columns(path: str | Path) -> list[str]:
    """All columns; the rows of a JSONL file may each have others."""
    columns = dict.fromkeys(column_names(path))
    if table_suffix(path) == ".jsonl":
        for _, row in read_rows(path, on_bad_row=lambda *_: None):
            columns.update(dict.fromkeys(row))
    return list(columns)


def _schema(input_path, output_path, added: list[str]) -> pa.Schema | None:
    """From Parquet to Parquet, columns keep their types."""
    if not table_suffix(input_path) == table_suffix(output_path) == ".parquet":
        return None
    numbers = dict.fromkeys(added[1:-1], pa.float64())
    types = {added[0]: pa.string(), **numbers, added[-1]: pa.string()}
    schema = pq.read_schema(input_path)
    return pa.schema([*schema, *types.items()], schema.metadata)


def _text_rows(path, text_column, bad_rows: list[str] | None) -> Iterator[dict]:
    def on_bad_row(line, reason):
        if bad_rows is None:
            raise InputError(
                f"{path}, line {line}: {reason}. `skip_bad_rows` leaves such rows out."
            )
        shown = len(bad_rows) < SHOWN_BAD_ROWS
        bad_rows.append(f"line {line}: {reason}" if shown else "")

    for line, row in read_rows(path, [text_column], on_bad_row):
        if isinstance(row[text_column], str):
            yield row
        else:
            on_bad_row(line, f"text {row[text_column]!r:.60} is no string")

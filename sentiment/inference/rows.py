"""Rows in, the same rows with their predictions out."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from sentiment.errors import InputError
from sentiment.models.packed_text_classifier import PackedTextClassifier

CHUNK_ROWS = 2000
CHUNK_CHARACTERS = 4_000_000
EMPTY_NOTE = "empty after cleaning"


def predict_rows(
    classifier: PackedTextClassifier,
    rows: Iterable[dict[str, object]],
    text_column: str = "text",
    columns: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> Iterator[dict[str, object]]:
    """Adds predictions to rows from anywhere, as many as there are.

    Rows come out in their order, each with what it held. They are read some thousand at
    a time, so memory does not grow with their number.

    Example:
    >>> rows = [{"id": 7, "text": "Lovely."}]
    >>> next(predict_rows(classifier, rows))["label"]
    'positive'

    Args:
        classifier: the model.
        rows: dicts with a string at `text_column`.
        text_column: key of the text.
        columns: names of what is added, as of `prediction_columns`; by default those
            that do not occur in the first row.
        batch_size: rows of the model that are computed at once.

    Raises:
        InputError: a row has no string at `text_column`, or one of `columns` already.
    """
    rows = iter(rows)
    if columns is None:
        first = next(rows, None)
        if first is None:
            return
        columns = prediction_columns(classifier.label_names, first)
        rows = itertools.chain([first], rows)
    for chunk in predict_chunks(classifier, rows, text_column, columns, batch_size):
        yield from chunk


def predict_chunks(
    classifier: PackedTextClassifier,
    rows: Iterable[dict[str, object]],
    text_column: str,
    columns: Sequence[str],
    batch_size: int | None = None,
) -> Iterator[list[dict[str, object]]]:
    """Like `predict_rows`, as many rows at a time as are computed together."""
    for chunk in _chunks(rows, text_column, columns):
        predictions = label_rows(
            classifier, [row[text_column] for row in chunk], batch_size
        )
        yield [
            {**row, **dict(zip(columns, _values(prediction), strict=True))}
            for row, prediction in zip(chunk, predictions, strict=True)
        ]


def label_rows(
    classifier: PackedTextClassifier,
    texts: Sequence[str],
    batch_size: int | None = None,
) -> list[dict[str, object]]:
    """Predictions as one dict per text.

    Returns:
        Dicts with `label` (str), `score` (float, the label's probability),
        `probabilities` (dict from class name to float) and `is_empty` (bool,
        nothing was left after cleaning, so the prediction is the model's bias).
    """
    probabilities, is_empty = classifier.predict_texts(list(texts), batch_size)
    names = classifier.label_names
    best = np.argmax(probabilities, axis=1)
    return [
        {
            "label": names[label],
            "score": float(row[label]),
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "is_empty": bool(empty),
        }
        for row, label, empty in zip(probabilities, best, is_empty, strict=True)
    ]


def prediction_columns(label_names: Sequence[str], present: Iterable[str]) -> list[str]:
    """Names of what is added to a row.

    They are `label`, `score` (the label's probability), `probability_<class>` for each
    class, and `note`, which says so where a text was empty after cleaning. Where one is
    taken already, all begin with `predicted_`.

    Args:
        label_names: the classes.
        present: names that rows have.
    """
    present = set(present)
    added = ["label", "score", *(f"probability_{n}" for n in label_names), "note"]
    while set(added) & present:
        added = [f"predicted_{name}" for name in added]
    return added


def _values(prediction) -> list[object]:
    note = EMPTY_NOTE if prediction["is_empty"] else ""
    probabilities = prediction["probabilities"].values()
    return [prediction["label"], prediction["score"], *probabilities, note]


def _chunks(
    rows: Iterable[dict], text_column: str, columns: Sequence[str]
) -> Iterator[list[dict]]:
    """Groups rows into chunks of bounded number and bounded text."""
    chunk, characters = [], 0
    for row in rows:
        _check(row, text_column, columns)
        chunk.append(row)
        characters += len(row[text_column])
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _check(row: dict, text_column: str, columns: Sequence[str]):
    if not isinstance(row.get(text_column), str):
        raise InputError(
            f"Every row must have a string at {text_column!r}. Received: {row!r:.200}"
        )
    taken = [name for name in columns if name in row]
    if taken:
        raise InputError(
            f"A row has {', '.join(map(repr, taken))} already, which would be lost. "
            "Give other names as `columns`."
        )

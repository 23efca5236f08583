"""Rows in, the same rows with their predictions out."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sentiment.data.labelled_rows import PROBABILITY_PREFIX, is_missing
from sentiment.errors import InputError
from sentiment.models.ensemble import Ensemble
from sentiment.models.packed_text_classifier import PackedTextClassifier

CHUNK_ROWS = 2000
CHUNK_CHARACTERS = 4_000_000
EMPTY_NOTE = "empty after cleaning"
NO_TEXT_NOTE = "no text"


def predict_rows(
    classifier: PackedTextClassifier | Ensemble,
    rows: Iterable[dict[str, object]],
    text_column: str = "text",
    columns: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> Iterator[dict[str, object]]:
    """Adds predictions to rows from anywhere, as many as there are.

    Rows come out in their order, each with what it held. One without a text has a note
    instead of a label. Rows are read some thousand at a time, so memory does not grow
    with their number.

    Example:
    >>> rows = [{"id": 7, "text": "Lovely."}]
    >>> next(predict_rows(classifier, rows))["label"]
    'positive'

    Args:
        classifier: the model.
        rows: dicts with a string at `text_column`, or nothing.
        text_column: key of the text.
        columns: names of what is added, as of `prediction_columns`; by default those
            that do not occur in the first row.
        batch_size: rows of the model that are computed at once.

    Raises:
        InputError: a row has something else than a string at `text_column`, or has one
            of `columns` already.
    """
    rows = iter(rows)
    if columns is None:
        first = next(rows, None)
        if first is None:
            return
        columns = prediction_columns(classifier.label_names, first)
        rows = itertools.chain([first], rows)
    noted = (_noted(row, text_column, columns) for row in rows)
    for chunk in predict_chunks(classifier, noted, columns, batch_size):
        yield from chunk


@dataclass(frozen=True)
class NotedRow:
    """A row that is to be predicted, or cannot be.

    Attributes:
        values: what it holds.
        text: what is to be predicted, if there is no note.
        note: why there is nothing to predict; empty where there is.
    """

    values: dict[str, object]
    text: str
    note: str = ""


def predict_chunks(
    classifier: PackedTextClassifier | Ensemble,
    rows: Iterable[NotedRow],
    columns: Sequence[str],
    batch_size: int | None = None,
) -> Iterator[list[dict[str, object]]]:
    """Like `predict_rows`, as many rows at a time as are computed together."""
    nothing = [None] * (len(columns) - 1)
    for chunk in _chunks(rows):
        texts = [row.text for row in chunk if not row.note]
        predictions = iter(label_rows(classifier, texts, batch_size) if texts else ())
        yield [
            row.values
            | dict(
                zip(
                    columns,
                    [*nothing, row.note] if row.note else _values(next(predictions)),
                    strict=True,
                )
            )
            for row in chunk
        ]


def label_rows(
    classifier: PackedTextClassifier | Ensemble,
    texts: Sequence[str],
    batch_size: int | None = None,
) -> list[dict[str, object]]:
    """Predictions as one dict per text.

    Returns:
        Dicts with `label` (str), `score` (float, the label's probability),
        `probabilities` (dict from class name to float) and `is_empty` (bool). Where
        nothing was left of a text after cleaning, `is_empty` is true and the rest
        `None`: what the model says then is its bias.
    """
    probabilities, is_empty = classifier.predict_texts(list(texts), batch_size)
    names = classifier.label_names
    nothing = {
        "label": None,
        "score": None,
        "probabilities": dict.fromkeys(names),
        "is_empty": True,
    }
    best = np.argmax(probabilities, axis=1)
    return [
        nothing
        if empty
        else {
            "label": names[label],
            "score": float(row[label]),
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "is_empty": False,
        }
        for row, label, empty in zip(probabilities, best, is_empty, strict=True)
    ]


def prediction_columns(label_names: Sequence[str], present: Iterable[str]) -> list[str]:
    """Names of what is added to a row.

    They are `label`, `score` (the label's probability), `probability_<class>` for each
    class, and `note`, which says why where there is no label. Where one is taken
    already, all begin with `predicted_`.

    Args:
        label_names: the classes.
        present: names that rows have.
    """
    present = set(present)
    added = [
        "label",
        "score",
        *(f"{PROBABILITY_PREFIX}{n}" for n in label_names),
        "note",
    ]
    while set(added) & present:
        added = [f"predicted_{name}" for name in added]
    return added


def _values(prediction) -> list[object]:
    note = EMPTY_NOTE if prediction["is_empty"] else ""
    probabilities = prediction["probabilities"].values()
    return [prediction["label"], prediction["score"], *probabilities, note]


def _chunks(rows: Iterable[NotedRow]) -> Iterator[list[NotedRow]]:
    """Groups rows into chunks of bounded number and bounded text."""
    chunk, characters = [], 0
    for row in rows:
        chunk.append(row)
        characters += len(row.text)
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def noted_row(values: dict[str, object], text_key: str) -> NotedRow:
    """A row, with a note if it has no text or what is there is no string."""
    text = values.get(text_key)
    if is_missing(text):
        return NotedRow(values, "", NO_TEXT_NOTE)
    if not isinstance(text, str):
        return NotedRow(values, "", f"text {text!r:.60} is no string")
    return NotedRow(values, text)


def _noted(row: dict, text_column: str, columns: Sequence[str]) -> NotedRow:
    noted = noted_row(row, text_column)
    if noted.note not in ("", NO_TEXT_NOTE):
        raise InputError(
            f"Every row must have a string at {text_column!r}, or nothing. Received: "
            f"{row!r:.200}"
        )
    taken = [name for name in columns if name in row]
    if taken:
        raise InputError(
            f"A row has {', '.join(map(repr, taken))} already, which would be lost. "
            "Give other names as `columns`."
        )
    return noted

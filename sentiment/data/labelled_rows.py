"""Texts, and labels, of users' own tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentiment.data.table_reader import (
    PLAIN_SUFFIX,
    input_errors,
    open_text,
    place,
    read_rows,
    table_suffix,
)
from sentiment.errors import InputError

_MAX_LABELS = 100
_SHOWN_BAD_ROWS = 10
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.0+)?")


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The usable rows of a labelled table, in file order.

    Attributes:
        texts: N strings as in the file, possibly empty.
        labels: int32 array (N,), indices into `label_names`.
        label_names: the classes, by index.
        num_skipped: how many bad rows were left out.
    """

    texts: list[str]
    labels: np.ndarray
    label_names: tuple[str, ...]
    num_skipped: int


def read_labelled(
    path: str | Path,
    *,
    text_column: str,
    label_column: str,
    label_names: Sequence[str] | None = None,
    skip_bad_rows: bool = False,
) -> LabelledRows:
    """Reads the texts and labels of a table.

    Example:
    >>> rows = read_labelled("a.csv", text_column="text", label_column="label")
    >>> rows.label_names, rows.labels
    (('neg', 'pos'), array([1, 0], dtype=int32))

    Args:
        path: a table, see `read_rows`.
        text_column: column of strings. An empty string is a text, null is not.
        label_column: column of strings or numbers; 1, 1.0 and "1" are one label.
        label_names: the classes by index. A label is a name or, unless names
            are integers themselves, an index. None takes the distinct labels,
            in numeric order if all are integers, else alphabetically.
        skip_bad_rows: whether to leave out and count bad rows: those that
            cannot be parsed or lack a usable text or label.

    Raises:
        InputError: see `read_rows`; or there are bad rows and not
            `skip_bad_rows`, no usable row, or over 100 distinct labels without
            `label_names`.
    """
    path = Path(path)
    classes = {} if label_names is None else _classes(label_names)
    texts, labels, bad_rows = [], [], _BadRows(path)
    for line, row in read_rows(path, (text_column, label_column), bad_rows.add):
        try:
            text, label = _text(row[text_column]), _label(row[label_column])
            if label_names is None:
                classes.setdefault(label, len(classes))
            elif label not in classes:
                raise ValueError(f"label {label!r:.60} is not in {label_names!r}")
        except ValueError as error:
            bad_rows.add(line, error)
            continue
        if label_names is None and len(classes) > _MAX_LABELS:
            raise InputError(
                f"{path}: column {label_column!r} has more than {_MAX_LABELS} "
                "distinct values. Is it the label column?"
            )
        texts.append(text)
        labels.append(classes[label])

    bad_rows.check(skip_bad_rows, usable=bool(texts))
    labels = np.array(labels, np.int32)
    if label_names is None:
        numeric = all(map(_INTEGER.fullmatch, classes))
        label_names = sorted(classes, key=int if numeric else None)
        labels = np.array([*map(label_names.index, classes)], np.int32)[labels]
    return LabelledRows(texts, labels, tuple(label_names), bad_rows.count)


def read_texts(
    path: str | Path, text_column: str, skip_bad_rows: bool = False
) -> tuple[list[str], int]:
    """Reads the texts of a table, or of a .txt file with one text a line.

    Args:
        path: a table, see `read_rows`, or UTF-8 text. Blank lines are skipped.
        text_column: column of strings, in a table.
        skip_bad_rows: whether to leave out and count bad rows.

    Returns:
        `(texts, num_skipped)`.

    Raises:
        InputError: see `read_labelled`.
    """
    path = Path(path)
    bad_rows = _BadRows(path)
    if table_suffix(path, or_plain=True) == PLAIN_SUFFIX:
        with input_errors(path), open_text(path) as stream:
            texts = [line.rstrip("\r\n") for line in stream if line.strip()]
    else:
        texts = []
        for line, row in read_rows(path, (text_column,), bad_rows.add):
            try:
                texts.append(_text(row[text_column]))
            except ValueError as error:
                bad_rows.add(line, error)
    bad_rows.check(skip_bad_rows, usable=bool(texts))
    return texts, bad_rows.count


class _BadRows:
    """Counts a file's bad rows, and shows the first of them."""

    def __init__(self, path: Path):
        self.count = 0
        self._path = path
        self._shown = []

    def add(self, line: int, reason: object) -> None:
        self.count += 1
        if self.count <= _SHOWN_BAD_ROWS:
            self._shown.append(f"\n  {place(self._path)} {line}: {reason}")

    def check(self, skip: bool, usable: bool) -> None:
        shown = "".join(self._shown)
        if self.count > len(self._shown):
            shown += f"\n  and {self.count - len(self._shown)} more"
        if self.count and not skip:
            raise InputError(
                f"{self._path}: bad rows: {self.count}. --skip_bad_rows skips them."
                f"{shown}"
            )
        if not usable:
            raise InputError(f"{self._path} has no usable row.{shown}")


def _classes(label_names: Sequence[str]) -> dict[str, int]:
    """Maps every spelling of a label, name or index, to its class."""
    classes = {_label(name): code for code, name in enumerate(label_names)}
    # With the names "1" to "5", a stray 0 must not become class "1".
    if not any(map(_INTEGER.fullmatch, classes)):
        classes |= {str(code): code for code in range(len(label_names))}
    return classes


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("no text" if value is None else f"text {value!r:.60} is no string")


def _label(value: object) -> str:
    """Returns a label's one spelling: stripped, an integer without ".0" or "+"."""
    # NaN, the one value unequal to itself, is a missing number in pandas' files.
    if value is None or value != value or not str(value).strip():
        raise ValueError("no label")
    if isinstance(value, dict | list | bytes):
        raise ValueError(f"label {value!r:.60} is neither string nor number")
    label = str(value).strip()
    return str(int(label.split(".")[0])) if _INTEGER.fullmatch(label) else label

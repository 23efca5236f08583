"""Texts, and labels, of users' own tables."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentiment.config.tables import TableConfig
from sentiment.data.labels import Classes, LabelMap
from sentiment.data.tables.names import tidy_name
from sentiment.data.tables.reader import Table
from sentiment.errors import InputError

TEXT_COLUMN = "text"
LABEL_COLUMN = "label"
PROBABILITY_PREFIX = "probability_"
_PROBABILITY = re.compile(rf"((?:predicted_)*{PROBABILITY_PREFIX})(.+)")
_MAX_LABELS = 100
_SHOWN_BAD_ROWS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The usable rows of a labelled table, in file order.

    Attributes:
        texts: N strings as in the file, none of them blank.
        labels: int32 array (N,), indices into `label_names`.
        label_names: the classes, by index.
        num_skipped: how many bad rows were left out.
        num_without_text: how many rows were left out because they have no text.
    """

    texts: list[str]
    labels: np.ndarray
    label_names: tuple[str, ...]
    num_skipped: int
    num_without_text: int


def read_labelled(
    path: str | Path,
    options: TableConfig = TableConfig(),  # noqa: B008, frozen
    *,
    label_column: str = "",
    label_names: Sequence[str] | None = None,
    label_map: Sequence[str] = (),
) -> LabelledRows:
    """Reads the texts and labels of a table.

    Rows without a text are left out and counted. What was left out is logged.

    Example:
    >>> rows = read_labelled("a.csv")
    >>> rows.label_names, rows.labels
    (('neg', 'pos'), array([1, 0], dtype=int32))

    Args:
        path: a table, see `Table`.
        options: how it is read; its `skip_bad_rows` says whether to leave out and
            count bad rows: those that cannot be parsed, or whose text is no string or
            whose label is missing or no class.
        label_column: column of strings or numbers; 1, 1.0 and "1" are one label.
            Empty: "label".
        label_names: the classes by index. A label is a name or, unless names are
            numbers themselves, an index. None takes the distinct labels, in numeric
            order if all are numbers, else alphabetically.
        label_map: what labels mean, see `LabelMap`.

    Raises:
        InputError: see `Table`; or there are bad rows and not `skip_bad_rows`, no
            usable row, over 100 distinct labels without `label_names`, or numbers
            that may be indices but need not be.
    """
    path = Path(path)
    classes = Classes(label_names, LabelMap(label_map) if label_map else None)
    table = Table(path, options)
    text_key = table.key(options.text_column or TEXT_COLUMN)
    label_key = table.key(label_column or LABEL_COLUMN)
    texts, left_out = [], _LeftOut(path, table.place)
    for number, row, text in _rows_with_text(table, text_key, left_out):
        try:
            classes.add(row.get(label_key))
        except ValueError as error:
            left_out.add(number, error)
            continue
        if label_names is None and len(classes) > _MAX_LABELS:
            raise InputError(
                f"{path}: column {label_key!r} has more than {_MAX_LABELS} distinct "
                "values. If it is the label column, give the classes with "
                "--label_names, or join labels with --label_map."
            )
        texts.append(text)
    classes.check_indices(path)
    left_out.check(options.skip_bad_rows, usable=bool(texts))
    codes, names = classes.resolved()
    return LabelledRows(
        texts,
        np.array(codes, np.int32),
        names,
        left_out.count,
        left_out.num_without_text,
    )


def read_texts(
    path: str | Path,
    options: TableConfig = TableConfig(),  # noqa: B008, frozen
) -> tuple[list[str], int]:
    """Reads the texts of a table.

    Rows without a text are left out. What was left out is logged.

    Args:
        path: a table, see `Table`.
        options: how it is read; see `read_labelled`.

    Returns:
        `(texts, num_skipped)`, the number of bad rows.

    Raises:
        InputError: see `read_labelled`.
    """
    path = Path(path)
    table = Table(path, options)
    text_key = table.key(options.text_column or TEXT_COLUMN)
    left_out = _LeftOut(path, table.place)
    texts = [text for *_, text in _rows_with_text(table, text_key, left_out)]
    left_out.check(options.skip_bad_rows, usable=bool(texts))
    return texts, left_out.count


@dataclass(frozen=True, eq=False)
class TaughtRows:
    """Texts of a table with the probabilities that stand beside them.

    Attributes:
        texts: N strings as in the file.
        probabilities: float32 (N, num_classes), each row of sum 1.
        label_names: the classes, in the order of their columns.
        num_skipped: how many bad rows were left out.
        path: of the table.
    """

    texts: list[str]
    probabilities: np.ndarray
    label_names: tuple[str, ...]
    num_skipped: int
    path: Path


def read_probabilities(
    path: str | Path,
    options: TableConfig = TableConfig(),  # noqa: B008, frozen
) -> TaughtRows:
    """Reads texts and the columns `probability_<class>`, as `predict_file` writes them.

    Where there are also `predicted_probability_<class>`, those are newer and are read.

    Rows without a text are left out, and so are those without any probability, which
    `predict_file` gives a note instead.

    Args:
        path: a table, see `Table`.
        options: how it is read; see `read_labelled`.

    Raises:
        InputError: see `read_labelled`; or there are less than two such columns. A row
            is bad whose probabilities are no numbers from 0 to 1 or have another sum.
    """
    path = Path(path)
    table = Table(path, options)
    text_key = table.key(options.text_column or TEXT_COLUMN)
    columns = _probability_columns(table.keys)
    if len(columns) < 2:
        raise InputError(
            f"{path} needs a column {PROBABILITY_PREFIX}<class> for each class, as "
            f"`sentiment predict` writes them. It has: {', '.join(table.keys)}."
        )
    texts, probabilities, left_out = [], [], _LeftOut(path, table.place)
    for number, row, text in _rows_with_text(table, text_key, left_out):
        values = [row.get(column) for column in columns]
        if all(value in (None, "") for value in values):
            left_out.num_without_label += 1
            continue
        try:
            probabilities.append(_distribution(values))
        except ValueError as error:
            left_out.add(number, error)
        else:
            texts.append(text)
    left_out.check(options.skip_bad_rows, usable=bool(texts))
    return TaughtRows(
        texts,
        np.array(probabilities, np.float32),
        tuple(columns.values()),
        left_out.count,
        path,
    )


def _probability_columns(keys: Sequence[str]) -> dict[str, str]:
    """The columns that hold probabilities, and the class of each.

    Who predicts a table that has such columns gets others, with a longer name.
    """
    found = [(_PROBABILITY.fullmatch(key), key) for key in keys]
    prefix = max((match[1] for match, _ in found if match), key=len, default="")
    return {key: match[2] for match, key in found if match and match[1] == prefix}


def _distribution(values: list[object]) -> np.ndarray:
    """Probabilities of cells.

    Raises:
        ValueError: a cell is no number from 0 to 1, or their sum is not about 1.
    """
    try:
        numbers = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise ValueError(f"probabilities {values!r:.60} are no numbers") from None
    rounded = 0.005 * len(numbers) + 1e-6  # each of them, to two decimals
    if not (numbers >= 0).all() or not abs(numbers.sum() - 1) <= rounded:
        raise ValueError(f"probabilities {values!r:.60} are none, or have no sum of 1")
    return numbers / numbers.sum()


def _rows_with_text(table: Table, key: str, left_out: "_LeftOut"):
    """`(place, row, text)` of each row that has a text; others are left out."""
    for number, row in table.rows(left_out.add):
        text = row.get(key)
        if is_missing(text):
            left_out.num_without_text += 1
        elif isinstance(text, str):
            yield number, row, text
        else:
            left_out.add(number, f"text {text!r:.60} is no string")


def is_missing(text: object) -> bool:
    """Whether a cell holds no text: nothing, NaN, or only what cannot be seen."""
    if isinstance(text, str):
        return not tidy_name(text)
    return text is None or text != text


class _LeftOut:
    """Counts a file's rows without text and its bad ones, and shows the first bad."""

    def __init__(self, path: Path, place: str):
        self.count = 0
        self.num_without_text = 0
        self.num_without_label = 0
        self._path, self._place = path, place
        self._shown = []

    def add(self, number: int, reason: object) -> None:
        self.count += 1
        if self.count <= _SHOWN_BAD_ROWS:
            self._shown.append(f"\n  {self._place} {number}: {reason}")

    def check(self, skip: bool, usable: bool) -> None:
        """Raises, or logs what is left out."""
        shown, num_without_text = "".join(self._shown), self.num_without_text
        if self.count > len(self._shown):
            shown += f"\n  and {self.count - len(self._shown)} more"
        if self.count and not skip:
            raise InputError(
                f"{self._path}: bad rows: {self.count}. --skip_bad_rows skips them."
                f"{shown}"
            )
        if not usable:
            counts = {
                "no text": num_without_text,
                "no probabilities": self.num_without_label,
            }
            listed = [
                f"{count:,} have {what}" for what, count in counts.items() if count
            ]
            without = f" ({', '.join(listed)})" if listed else ""
            raise InputError(f"{self._path} has no usable row{without}.{shown}")
        if self.count:
            logger.info(f"{self._path}: skipped {self.count:,} bad rows.{shown}")
        if num_without_text:
            logger.info(
                f"{self._path}: left out {num_without_text:,} rows without text."
            )
        if self.num_without_label:
            logger.info(
                f"{self._path}: left out {self.num_without_label:,} rows without "
                "probabilities."
            )

"""Raw texts in memory, as they are handed to a classifier."""

import itertools
from collections.abc import Iterator, KeysView, Sequence, ValuesView

import keras
import numpy as np

from sentiment.errors import InputError


def texts_in(x) -> tuple[list[str] | None, object]:
    """The strings in whatever holds them, and `x` for Keras if they are none.

    Strings are taken from one string, a list, tuple, array, column (of pandas, pyarrow,
    polars or Hugging Face) or iterator.

    Returns:
        `(texts, x)`; the texts are `None` if `x` is for Keras: batches, arrays of
        numbers, datasets.

    Raises:
        InputError: only some are strings, or `x` is nothing, a table or without order.
    """
    if getattr(x, "shape", None) == () and hasattr(x, "item"):
        x = x.item()  # an array of no dimension
    if isinstance(x, str):
        return [x], x
    _refuse(x)
    if isinstance(x, Iterator):
        first = list(itertools.islice(x, 1))
        rest = itertools.chain(first, x)
        # Keras knows generators by their type.
        return (_checked(list(rest)), x) if _begin_text(first) else (None, _again(rest))
    elements = _elements(x)
    return (None, x) if elements is None else (_checked(elements), x)


def _refuse(x):
    name = type(x).__name__
    if x is None or isinstance(x, (bool, int, float, complex, bytes)):
        raise InputError(
            f"Texts must be a string or many of them. Received: {x!r:.60}."
        )
    if isinstance(x, (set, frozenset)):
        raise InputError("Texts must be in an order, which a set has not. Give a list.")
    is_table = hasattr(x, "columns") and not isinstance(x, dict)
    if is_table or (isinstance(x, dict) and any(map(_holds_text, x.values()))):
        names = x if isinstance(x, dict) else getattr(x, "column_names", x.columns)
        names = list(map(str, names))
        raise InputError(
            f"Texts must be one column. Received a {name} of {', '.join(names):.100}: "
            "give the column of the texts."
        )


def _may_hold_text(array) -> bool:
    """Whether it is an array or column of strings or objects."""
    return getattr(getattr(array, "dtype", None), "kind", "") in ("U", "O", "S", "T")


def _holds_text(column) -> bool:
    if isinstance(column, (list, tuple)) or _may_hold_text(column):
        column = next(iter(column), None)
    return isinstance(column, str)


def _elements(x) -> list | None:
    """What is in a list or column; `None` if that is for Keras."""
    if isinstance(x, (list, tuple)):
        elements = list(x)
    elif _may_hold_text(x):
        elements = x.tolist()
    elif hasattr(x, "to_pylist"):  # pyarrow
        elements = x.to_pylist()
    elif isinstance(x, (dict, keras.utils.PyDataset)):
        return None
    elif hasattr(x, "dtype") and not hasattr(x, "to_list"):  # arrays
        return [] if x.shape == (0,) else None
    elif hasattr(x, "to_list"):  # polars, and numbers of pandas
        elements = x.to_list()
    elif isinstance(x, (Sequence, KeysView, ValuesView)):
        elements = list(x)
    else:
        return None
    return elements if not elements or _begin_text(elements) else None


def _begin_text(elements: list) -> bool:
    """Whether elements must be texts: one is, or the first is no array or batch."""
    if any(isinstance(element, str) for element in elements):
        return True
    # A list of arrays may be meant for `keras.Model.predict`.
    first = elements[0] if elements else ""
    if isinstance(first, (list, tuple)) and any(map(_holds_text, first)):
        return True
    return not isinstance(first, (dict, list, tuple)) and not getattr(first, "ndim", 0)


def _again(iterator):
    yield from iterator


def _checked(elements: list) -> list[str]:
    for i, text in enumerate(elements):
        if not isinstance(text, str):
            raise InputError(
                f"Every element must be a string. Received {text!r:.60} of type "
                f"{type(text).__name__} at index {i}."
            )
    return elements


def check_counts(**settings):
    """Checks numbers that `fit`, `evaluate` and `predict` are told.

    Args:
        **settings: `batch_size` and `validation_split`, maybe `None`, and `epochs`.

    Raises:
        InputError: a number is none of what it can be.
    """
    # Keras chooses a batch size where there is none, but no number of epochs.
    for name, default in (("batch_size", 1), ("epochs", None)):
        value = settings.get(name, 1)
        value = default if value is None else value
        is_count = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not (is_count and value >= 1):
            raise InputError(
                f"{name} must be an integer and at least 1. Received: {value!r}."
            )
    share = settings.get("validation_split")
    is_number = isinstance(share, (int, float, np.number))
    if share is not None and not (is_number and 0 <= share < 1):
        raise InputError(
            f"validation_split must be at least 0 and below 1. Received: {share!r}."
        )


def checked_labels(y, num_classes) -> np.ndarray:
    """Labels as integers; one-hot encoding would read one out of range as no class.

    Raises:
        InputError: they are not (N,) integers or booleans, or one is no class.
    """
    labels = np.asarray(y)
    if labels.dtype == object and all(
        isinstance(label, (int, np.integer)) for label in labels.flat
    ):
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int32)
    is_valid = labels.ndim <= 1 and labels.dtype.kind in "iu"
    if not is_valid or (
        labels.size and not 0 <= labels.min() <= labels.max() < num_classes
    ):
        of = f" from {labels.min()} to {labels.max()}" if is_valid else ""
        raise InputError(
            f"Labels must be integers from 0 to {num_classes - 1}, one for each text. "
            f"Received {labels.dtype} of shape {labels.shape}{of}."
        )
    return labels


def checked_weights(sample_weight) -> np.ndarray:
    """Sample weights as float32.

    Raises:
        InputError: one is negative or no number, or all are 0.
    """
    try:
        weights = np.asarray(sample_weight, np.float32)
    except (TypeError, ValueError):
        weights = np.array([np.nan], np.float32)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise InputError(
            "Sample weights must be finite numbers, none of them negative and one at "
            f"least above 0. Received: {sample_weight!r:.100}."
        )
    return weights


class LabelledTexts:
    """Texts with their labels, and weights if any."""

    def __init__(self, texts: list[str], *arrays: np.ndarray):
        self._columns = (texts, *arrays)

    @classmethod
    def of(
        cls, texts, labels, weights, num_classes, class_weight=None
    ) -> "LabelledTexts":
        """Those that `fit` was given, checked.

        Args:
            texts: list of strings.
            labels: int or bool (num_texts,).
            weights: float (num_texts,); `None`: 1.
            num_classes: int, of the classifier.
            class_weight: dict from class to float, which its texts' weights are
                multiplied by; classes that are not named have 1.

        Raises:
            InputError: labels are missing or no classes, or there is not one of each
                for a text.
        """
        if not texts:
            raise InputError("There are no texts.")
        if labels is None:
            raise InputError("Texts alone were received; give their labels as y, too.")
        arrays = [checked_labels(labels, num_classes)]
        if weights is not None:
            arrays.append(checked_weights(weights))
        shapes = [(len(texts),), *(array.shape for array in arrays)]
        if len(set(shapes)) > 1:
            raise InputError(
                "There must be one label, and one sample weight if any, for each text. "
                f"Received: {', '.join(map(str, shapes))}."
            )
        if class_weight is not None:
            of_class = np.ones(num_classes, np.float32)
            for code, weight in class_weight.items():
                of_class[int(checked_labels([code], num_classes)[0])] = weight
            factors = checked_weights(of_class)[arrays[0]]
            arrays[1:] = [factors * arrays[1] if len(arrays) > 1 else factors]
        return cls(texts, *arrays)

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return self._columns[0]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Labels, and weights if there are any."""
        return self._columns[1:]

    def __len__(self) -> int:
        return len(self._columns[0])

    def split(self, share: float) -> tuple["LabelledTexts", "LabelledTexts"]:
        """All but the last `share`, and these.

        Raises:
            InputError: one side would have none.
        """
        first = int(len(self) * (1 - share))
        if not 0 < first < len(self):
            raise InputError(
                f"validation_split={share} leaves {first} of {len(self)} texts to "
                "train on. Both sides need one."
            )
        kept = LabelledTexts(*(column[:first] for column in self._columns))
        return kept, LabelledTexts(*(column[first:] for column in self._columns))

"""Raw texts in memory, as they are handed to a classifier."""

from typing import TYPE_CHECKING

import numpy as np

from sentiment.errors import InputError

if TYPE_CHECKING:
    import grain


def texts_in(x) -> list[str] | None:
    """The strings of a list, tuple, array or pandas column; `None` if others are in it.

    Raises:
        InputError: only some are strings, or they are bytes.
    """
    if getattr(getattr(x, "dtype", None), "kind", "") in ("U", "O", "S", "T"):
        x = x.tolist()
    return list(x) if _is_texts(x) else None


def _is_texts(x) -> bool:
    if not isinstance(x, (list, tuple)):
        return False
    wrong = next((i for i, text in enumerate(x) if not isinstance(text, str)), None)
    if wrong is None:
        return True
    # A list of arrays may be meant for `keras.Model.predict`.
    is_scalar = getattr(x[wrong], "ndim", 0) == 0
    if is_scalar or any(isinstance(text, str) for text in x):
        raise InputError(
            f"Every element must be a string. Received {x[wrong]!r} of type "
            f"{type(x[wrong]).__name__} at index {wrong}."
        )
    return False


def checked_labels(y, num_classes) -> np.ndarray:
    """Labels as integers; one-hot encoding would read one out of range as no class.

    Raises:
        InputError: they are not (N,) integers or booleans, or one is no class.
    """
    labels = np.asarray(y)
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


class LabelledTexts:
    """Texts with their labels, and weights if any; a source for Grain."""

    def __init__(self, texts: list[str], *arrays: np.ndarray):
        self._columns = (texts, *arrays)

    @classmethod
    def of(cls, texts, labels, weights, num_classes) -> "LabelledTexts":
        """Those that `fit` was given, checked.

        Args:
            texts: list of strings.
            labels: int or bool (num_texts,).
            weights: float (num_texts,); `None`: 1.
            num_classes: int, of the classifier.

        Raises:
            InputError: labels are missing or no classes, or there is not one of each
                for a text.
        """
        if labels is None:
            raise InputError("Texts alone were received; give their labels as y, too.")
        arrays = [checked_labels(labels, num_classes)]
        if weights is not None:
            arrays.append(np.asarray(weights))
        shapes = [(len(texts),), *(array.shape for array in arrays)]
        if len(set(shapes)) > 1:
            raise InputError(
                "There must be one label, and one sample weight if any, for each text. "
                f"Received: {', '.join(map(str, shapes))}."
            )
        return cls(texts, *arrays)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Labels, and weights if there are any."""
        return self._columns[1:]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, index: int) -> tuple:
        return tuple(column[index] for column in self._columns)

    def __repr__(self) -> str:
        return f"LabelledTexts of {len(self)} texts"

    def batches(self, size: int, seed: int | None = None) -> "grain.MapDataset":
        """Batches of one epoch, or, repeated, of several.

        Args:
            size: texts in each but the last.
            seed: orders them anew in each epoch; `None` keeps the order.
        """
        import grain  # Predicting does without.

        dataset = grain.MapDataset.source(self)
        if seed is not None:
            dataset = dataset.shuffle(seed)
        return dataset.batch(size)

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

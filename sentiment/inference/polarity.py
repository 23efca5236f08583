"""Which of a model's classes are negative, neutral or positive."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentiment.config import POLARITIES
from sentiment.errors import InputError

_NAMES = {
    "negative": ("negative", "very negative", "neg", "bad", "1 star", "2 stars"),
    "neutral": ("neutral", "neu", "mixed", "3 stars"),
    "positive": ("positive", "very positive", "pos", "good", "4 stars", "5 stars"),
}
_MEANINGS = {name: polarity for polarity, names in _NAMES.items() for name in names}


@dataclass(frozen=True)
class Polarity:
    """What each class of a model means.

    Attributes:
        meanings: a name in `POLARITIES` for each class.
    """

    meanings: tuple[str, ...]

    @classmethod
    def of(cls, label_names: Sequence[str], meanings: Sequence[str] = ()) -> "Polarity":
        """By the names of the classes, or as it is said.

        Args:
            label_names: the classes by index.
            meanings: names in `POLARITIES`, one for each class; empty: the names of
                the classes say it.

        Raises:
            InputError: they do not, there is not one meaning for each class, or no
                class is negative or none positive.
        """
        found = tuple(meanings) or tuple(
            _MEANINGS.get(name.lower().replace("_", " ").replace("-", " ").strip(), "")
            for name in label_names
        )
        is_whole = len(found) == len(label_names) and set(found) <= set(POLARITIES)
        if not is_whole or not {"negative", "positive"} <= set(found):
            raise InputError(
                f"Of the classes {', '.join(label_names)} it must be known which are "
                "negative, neutral or positive. Say it in this order, for instance "
                "--polarity=negative,neutral,positive. Received: "
                f"{', '.join(meanings) or 'nothing'}."
            )
        return cls(found)

    @property
    def has_neutral(self) -> bool:
        """Whether a text may be neither negative nor positive."""
        return "neutral" in self.meanings

    def fold(self, probabilities) -> np.ndarray:
        """Probabilities of the three polarities.

        Args:
            probabilities: float (..., classes).

        Returns:
            float64 (..., 3), in the order of `POLARITIES`.
        """
        meanings = np.array(self.meanings)
        probabilities = np.asarray(probabilities, np.float64)
        return np.stack(
            [probabilities[..., meanings == name].sum(-1) for name in POLARITIES], -1
        )


def tone(folded) -> np.ndarray:
    """How positive texts are, from -1 to 1: P(positive) - P(negative).

    Args:
        folded: float (..., 3), as of `Polarity.fold`.
    """
    folded = np.asarray(folded)
    return folded[..., 2] - folded[..., 0]

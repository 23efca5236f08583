"""What must hold of the answers to a case."""

import abc
from dataclasses import dataclass

import numpy as np

from sentiment.config import POLARITIES
from sentiment.inference.polarity import tone

# By how much tone may move the wrong way; Ribeiro et al. 2020 leave a probability 0.1.
SLACK = 0.1


def predicted(folded: np.ndarray) -> list[str]:
    """The most likely polarity of each text; `folded` is (texts, 3)."""
    return [POLARITIES[i] for i in folded.argmax(-1)]


class Rule(abc.ABC):
    """What must hold; as a string it says what the answers must be."""

    def fits(self, has_neutral: bool) -> bool:
        """Whether models can follow it that have a neutral class, or have none."""
        return True

    @abc.abstractmethod
    def holds(self, folded: np.ndarray) -> bool:
        """Whether it holds of the texts of a case, (texts, 3)."""


@dataclass(frozen=True)
class IsOneOf(Rule):
    """The text has one of these polarities (a minimum functionality test)."""

    polarities: tuple[str, ...]

    def fits(self, has_neutral: bool) -> bool:
        return has_neutral or set(self.polarities) != {"neutral"}

    def holds(self, folded: np.ndarray) -> bool:
        return predicted(folded)[0] in self.polarities

    def __str__(self):
        return " or ".join(self.polarities)


@dataclass(frozen=True)
class IsSame(Rule):
    """All texts have the same polarity, or nearly the same tone (an invariance test).

    The latter since a text in the middle between two may fall to either side.
    """

    def holds(self, folded: np.ndarray) -> bool:
        return len(set(predicted(folded))) == 1 or bool(np.ptp(tone(folded)) <= SLACK)

    def __str__(self):
        return "the same"


@dataclass(frozen=True)
class Moves(Rule):
    """Each text is as positive as the one before or more (a directional test).

    Attributes:
        sign: 1; or -1: as negative, or more.
    """

    sign: int

    def holds(self, folded: np.ndarray) -> bool:
        return bool((self.sign * np.diff(tone(folded)) >= -SLACK).all())

    def __str__(self):
        return "more positive" if self.sign > 0 else "more negative"

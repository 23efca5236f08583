"""Several classifiers that answer as one."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from sentiment.data.labels import match_classes
from sentiment.errors import InputError


class Member(Protocol):
    """What gives probabilities: a classifier of any kind.

    Attributes:
        label_names: the classes, in the order of the probabilities.
    """

    label_names: Sequence[str]

    def predict(self, x: Sequence[str]) -> np.ndarray:
        """Float (N, num_classes) of raw texts."""


class Ensemble:
    """The mean of the probabilities of several classifiers.

    Models that were trained with other seeds, on other data or from other weights err
    on other texts, so their mean errs on fewer (Hansen & Salamon 1990). They may have
    other tokenizers and other backbones.

    Example:
    >>> both = Ensemble([load_classifier("runs/a"), load_classifier("runs/b")])
    >>> both.predict(["Lovely."])
    array([[0.02, 0.98]], dtype=float32)

    Args:
        members: at least one classifier, all of the same classes in any order.

    Attributes:
        members: the classifiers.
        label_names: the classes in the order of the first.

    Raises:
        InputError: a classifier knows other classes.
    """

    def __init__(self, members: Sequence[Member]):
        self.members = tuple(members)
        self.label_names = self.members[0].label_names
        try:
            self._class_of = [
                match_classes(self.label_names, member.label_names)
                for member in self.members
            ]
        except InputError as error:
            known = "; ".join(", ".join(m.label_names) for m in self.members)
            raise InputError(
                f"Models can answer as one only if they know the same classes. These "
                f"know: {known}."
            ) from error

    def predict(self, x: Sequence[str], batch_size: int | None = None) -> np.ndarray:
        """Class probabilities of raw texts, see `PackedTextClassifier.predict`."""
        more = {"batch_size": batch_size} if batch_size else {}
        return self.mean_of(lambda member: member.predict(x, **more))

    def predict_texts(
        self, texts: Sequence[str], batch_size: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Like `predict`, and says which texts cleaning left empty for some member.

        The members must be `PackedTextClassifier`s.
        """
        is_empty = np.zeros(len(texts), bool)

        def predict(member):
            probabilities, empty = member.predict_texts(texts, batch_size)
            is_empty[empty] = True
            return probabilities

        return self.mean_of(predict), is_empty

    def mean_of(self, predict: Callable[[Member], np.ndarray]) -> np.ndarray:
        """The mean of what is predicted with each member.

        Args:
            predict: gives a member's probabilities, float (N, num_classes), in the
                order of its own classes.

        Returns:
            float32 (N, num_classes), in the order of `label_names`.
        """
        total = sum(
            predict(member)[:, class_of].astype(np.float64)
            for member, class_of in zip(self.members, self._class_of, strict=True)
        )
        return (total / len(self.members)).astype(np.float32)

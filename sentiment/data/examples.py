"""Labelled texts, and what any source of them looks like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sentiment.config import DataConfig


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts.

    Attributes:
        texts: N strings.
        labels: int32 (N,), class of each; or float32 (N, num_classes), its
            probability.
    """

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at `indices`, in that order."""
        return Examples([self.texts[i] for i in indices], self.labels[indices])


class Source(Protocol):
    """Where examples come from.

    Attributes:
        label_names: the classes by index.
        splits: those of "train", "validation" and "test" that are labelled.
        num_skipped_rows: bad rows left out so far.
    """

    label_names: tuple[str, ...]
    splits: tuple[str, ...]
    num_skipped_rows: int

    def read(self, split: str) -> Examples:
        """All examples of one of `splits`."""


@dataclass(frozen=True)
class SourceKind:
    """A kind of source: when it is meant, and how one is opened.

    Attributes:
        is_named_by: whether the settings ask for it.
        open: makes the source of the settings; it is also given the classes of a
            trained model, or none, for data that does not know its own.
    """

    is_named_by: Callable[[DataConfig], bool]
    open: Callable[[DataConfig, Sequence[str]], Source]

"""What all contenders have in common."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.workload import Workload

LEARNING_RATE = 5e-5
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
DROPOUT = 0.1
SEED = 0
WARM_UP_TURN = 1_000_000  # Its reviews are those of no round.


@dataclass(frozen=True)
class Work:
    """What one round computed.

    Attributes:
        lengths: real tokens of each review.
        positions: tokens computed, padding included.
    """

    lengths: np.ndarray
    positions: int


class Contender(Protocol):
    """One way of doing the work.

    Attributes:
        setting: what it chose, for the report.
    """

    setting: str

    def __init__(self, workload: Workload, training: bool, device: str, dtype: str): ...

    def warm_up(self):
        """Compiles, and chooses the best setting."""

    def round(self, turn: int) -> Work:
        """Does the work of one round; returns when it is done."""


def reviews_of_turn(workload: Workload, turn: int) -> np.ndarray:
    """What all contenders predict in the same turn, indices in random order."""
    order = np.random.default_rng([SEED, turn]).permutation(len(workload.tokens))
    return order[: workload.task.reviews_per_round]


def in_turn(count: int, size: int, rng: np.random.Generator):
    """Endless groups of `size` of `count` examples, each once per pass."""
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]

"""Runs side by side: intervals, and whether a difference is more than chance."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from sentiment.errors import InputError
from sentiment.evaluation.predictions import Predictions

NUM_RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Compared:
    """One run beside the first.

    Attributes:
        name: of the run.
        accuracy: share of the test texts.
        accuracy_interval: its 95% bootstrap interval.
        macro_f1: mean F1 of the classes.
        macro_f1_interval: its 95% bootstrap interval.
        difference: accuracy above that of the first run; 0 for the first.
        difference_interval: its 95% bootstrap interval, over the same resamples.
        p_value: of McNemar's exact test against the first run; 1 for the first.
    """

    name: str
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    p_value: float


def compare(runs: dict[str, Predictions], seed: int = 0) -> list[Compared]:
    """Compares runs on their shared test texts.

    Intervals are percentiles over resamples of the texts (Efron 1979), the same
    resamples for all runs.

    Args:
        runs: predictions by name; the first is what others are compared with.
        seed: of the resamples.

    Raises:
        InputError: the runs were not tested on the same texts.
    """
    names = list(runs)
    first = runs[names[0]]
    for name in names[1:]:
        _check_same(names[0], first, name, runs[name])
    rng = np.random.default_rng(seed)
    size = len(first.labels)
    resamples = rng.integers(0, size, (NUM_RESAMPLES, size), np.int32)
    reference = _accuracies(first, resamples)
    compared = []
    for name, run in runs.items():
        accuracies = _accuracies(run, resamples)
        accuracy = float(run.is_correct.mean())
        compared.append(
            Compared(
                name,
                accuracy,
                _interval(accuracies),
                _macro_f1(run, np.arange(size)),
                _interval([_macro_f1(run, rows) for rows in resamples]),
                accuracy - float(first.is_correct.mean()),
                _interval(accuracies - reference),
                mcnemar(first.is_correct, run.is_correct),
            )
        )
    return compared


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """The p-value of McNemar's exact test (1947).

    If the runs are equally good, each is as likely as the other to be the one that is
    right, where just one is.

    Args:
        first: bool (N,), where one run is right.
        second: bool (N,), where the other is.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(~first & second))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def _check_same(first_name, first, name, run):
    if first.keys != run.keys:
        raise InputError(
            f"{first_name} and {name} were not tested on the same texts in the same "
            f"order ({len(first.keys):,} and {len(run.keys):,} of them)."
        )
    if len(first.label_names) != len(run.label_names) or np.any(
        first.labels != run.labels
    ):
        raise InputError(
            f"{first_name} and {name} do not know the same classes: "
            f"{', '.join(first.label_names)} and {', '.join(run.label_names)}."
        )


def _accuracies(run: Predictions, resamples) -> np.ndarray:
    return run.is_correct[resamples].mean(axis=1)


def _macro_f1(run: Predictions, rows) -> float:
    """As scikit-learn's, a hundred times as fast: resamples are many."""
    size = len(run.label_names)
    pairs = (run.labels * size + run.predicted)[rows]
    matrix = np.bincount(pairs, minlength=size**2).reshape(size, size)
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float(np.mean(2 * np.diag(matrix) / np.maximum(total, 1)))


def _interval(values) -> tuple[float, float]:
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)

"""Classification metrics from labels and predicted probabilities.

Everything scikit-learn has is taken from scikit-learn; the calibration error
and the accuracy interval, which it has not, are written out here in NumPy.
"""

import math

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from sentiment.errors import InputError

# The smallest normal float32, about 1.2e-38: the loss of a true class given
# probability 0 is then 87.3 nats, large but finite.
SMALLEST_PROBABILITY = np.finfo(np.float32).tiny


def classification_metrics(labels, probabilities, label_names, num_bins=15) -> dict:
    """Compute every reported metric, as plain Python types ready for JSON.

    The prediction is the class of highest probability (the first of equals).
    A ratio with a zero denominator (a class never predicted, or without an
    example) counts as 0, also in `macro_f1`, which averages over all C classes.

    Args:
        labels: (N,) int, true classes in 0..C-1.
        probabilities: (N, C) float, rows summing to 1; used as float32.
        label_names: C distinct names, in class order.
        num_bins: Number of confidence bins of the calibration error.

    Returns:
        A dict with, in this order: `accuracy`, `macro_f1`, `loss` (mean negative
        log likelihood of the true class, in nats), `per_class` (name ->
        `precision`, `recall`, `f1`, `support`), `confusion_matrix` (C lists of C
        ints; rows true, columns predicted), `num_examples` and
        `expected_calibration_error` (Guo et al., 2017).

    Raises:
        InputError: No example, shapes that disagree, labels outside 0..C-1,
            label names that are not C distinct ones, or `num_bins` below 1.
        ValueError: A probability is NaN.

    Example:
        >>> result = classification_metrics(
        ...     [0, 1], [[0.75, 0.25], [0.75, 0.25]], ["negative", "positive"]
        ... )
        >>> result["accuracy"], result["confusion_matrix"]
        (0.5, [[1, 0], [1, 0]])
    """
    labels, probabilities = _check_arrays(labels, probabilities)
    num_classes = probabilities.shape[1]
    _check_label_names(label_names, num_classes)
    predictions = probabilities.argmax(axis=1)
    # Without `labels`, scikit-learn drops absent classes and shifts the others.
    classes = np.arange(num_classes)
    bins = reliability_bins(labels, probabilities, num_bins)
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "macro_f1": float(
            f1_score(
                labels, predictions, labels=classes, average="macro", zero_division=0
            )
        ),
        "loss": _cross_entropy(labels, probabilities),
        "per_class": _per_class(labels, predictions, classes, label_names),
        "confusion_matrix": confusion_matrix(
            labels, predictions, labels=classes
        ).tolist(),
        "num_examples": len(labels),
        "expected_calibration_error": expected_calibration_error(bins),
    }


def reliability_bins(labels, probabilities, num_bins=15) -> dict[str, np.ndarray]:
    """Group examples by the confidence of their prediction (Guo et al., 2017).

    Bins have equal width and are right-closed: bin m holds confidences in
    (m / num_bins, (m + 1) / num_bins]. The comparison is made in float32, so
    that a float32 confidence of 0.6 lies on the edge 0.6 and not above it.

    Args:
        labels: (N,) int, true classes in 0..C-1.
        probabilities: (N, C) float, rows summing to 1; used as float32.
        num_bins: Number of bins M.

    Returns:
        `edges` (M + 1,) float32; `confidence` and `accuracy` (M,) float64, the
        means within each bin, NaN where it is empty; `count` (M,) int64.

    Raises:
        InputError: No example, shapes that disagree, labels outside 0..C-1, or
            `num_bins` below 1.
        ValueError: A probability is NaN.

    Example:
        >>> bins = reliability_bins([0, 1], [[0.75, 0.25], [0.75, 0.25]], num_bins=2)
        >>> bins["count"], bins["confidence"][1], bins["accuracy"][1]
        (array([0, 2]), np.float64(0.75), np.float64(0.5))
    """
    labels, probabilities = _check_arrays(labels, probabilities)
    if num_bins < 1:
        raise InputError(f"num_bins must be 1 or more, received {num_bins}.")
    edges = np.linspace(0, 1, num_bins + 1, dtype=np.float32)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # The outer edges are left out so that rounding above 1 stays in the last bin.
    index = np.digitize(confidence, edges[1:-1], right=True)
    count = np.bincount(index, minlength=num_bins)

    def mean(values):
        sums = np.bincount(index, weights=values, minlength=num_bins)
        return np.divide(sums, count, out=np.full(num_bins, np.nan), where=count > 0)

    return {
        "edges": edges,
        "confidence": mean(confidence),
        "accuracy": mean(correct),
        "count": count,
    }


def expected_calibration_error(bins: dict[str, np.ndarray]) -> float:
    """Average |accuracy - confidence| over bins, weighted by their examples.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks",
    ICML 2017, equation 3.

    Args:
        bins: What `reliability_bins` returns.

    Returns:
        The error, from 0 (perfectly calibrated) to 1.

    Example:
        >>> expected_calibration_error(
        ...     reliability_bins([0, 1], [[0.75, 0.25], [0.75, 0.25]])
        ... )
        0.25
    """
    gaps = np.abs(bins["accuracy"] - bins["confidence"])
    # Empty bins are NaN and weigh nothing.
    return float(np.nansum(bins["count"] * gaps) / bins["count"].sum())


def wilson_interval(
    num_correct: int, num_examples: int, z: float = 1.96
) -> tuple[float, float]:
    """Compute the Wilson score interval of an accuracy.

    Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", Journal of the American Statistical Association 22, 1927. Unlike
    the normal approximation it stays within 0..1 and holds for small samples.

    Args:
        num_correct: Number of correct predictions.
        num_examples: Number of predictions.
        z: Normal quantile; 1.96 gives a 95% interval.

    Returns:
        The lower and the upper bound, as fractions.

    Raises:
        InputError: No example, or `num_correct` outside 0..num_examples.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    if num_examples < 1 or not 0 <= num_correct <= num_examples:
        raise InputError(
            "An accuracy interval needs 1 or more examples and between 0 and that "
            f"many correct, received {num_correct} correct of {num_examples}."
        )
    proportion = num_correct / num_examples
    variance = proportion * (1 - proportion) / num_examples
    scale = 1 + z**2 / num_examples
    centre = (proportion + z**2 / (2 * num_examples)) / scale
    half = z * math.sqrt(variance + z**2 / (4 * num_examples**2)) / scale
    # At 0 or all correct a bound is exactly 0 or 1 but for rounding.
    return max(0.0, centre - half), min(1.0, centre + half)


def _check_arrays(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) labels and (N, C) float32 probabilities, or raise."""
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities, dtype=np.float32)
    received = (
        f"received labels of shape {labels.shape} and probabilities of shape "
        f"{probabilities.shape}."
    )
    if labels.size == 0 or probabilities.size == 0:
        raise InputError(f"Metrics need at least one example, {received}")
    if labels.ndim != 1 or probabilities.shape[:-1] != labels.shape:
        raise InputError(f"Metrics need shapes (N,) and (N, C), {received}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"Labels must be integers, received {labels.dtype}.")
    highest = probabilities.shape[1] - 1
    if labels.min() < 0 or labels.max() > highest:
        raise InputError(
            f"Labels must lie in 0..{highest}, one per probability column, "
            f"received {labels.min()}..{labels.max()}."
        )
    if num_nan := int(np.isnan(probabilities).sum()):
        raise ValueError(
            f"{num_nan} of {probabilities.size} probabilities are NaN; the model "
            "that produced them is broken or was trained until it diverged."
        )
    return labels, probabilities


def _check_label_names(label_names, num_classes: int) -> None:
    """Raise unless there is one distinct name per class."""
    if len(label_names) != num_classes or len(set(label_names)) != num_classes:
        raise InputError(
            f"Probabilities have {num_classes} classes, which need {num_classes} "
            f"distinct label names, received {list(label_names)}."
        )


def _cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log likelihood of the true class, in nats."""
    # Not scikit-learn's log_loss: that clips at 1.2e-7, which hides how wrong a
    # confident model is.
    true_class = probabilities[np.arange(len(labels)), labels]
    clipped = np.maximum(true_class, SMALLEST_PROBABILITY)
    return float(-np.log(clipped, dtype=np.float64).mean())


def _per_class(labels, predictions, classes, label_names) -> dict[str, dict]:
    """Return precision, recall, F1 and support under each label name."""
    columns = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0
    )
    return {
        name: {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(
            label_names, *columns, strict=True
        )
    }

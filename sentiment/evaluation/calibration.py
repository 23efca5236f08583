"""How sure a classifier says it is, and how sure it should be."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

# Beyond these a classifier has learned nothing, or errs nowhere.
_LOWEST, _HIGHEST = 0.05, 20.0


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that gives probabilities the least cross-entropy.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML
    2017 (https://arxiv.org/abs/1706.04599). The loss is convex in its inverse, so there
    is one. Where the labels would have it be without end, as where all are right, it is
    the nearer of 0.05 and 20.

    Args:
        probabilities: float (num_examples, num_classes), softmax of some logits.
        labels: int (num_examples,).

    Returns:
        What the logits are to be divided by: above 1 where the classifier is too sure.
    """
    # Logits up to a number for each example, which softmax takes away.
    smallest = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), smallest))
    right = logits[np.arange(len(labels)), labels]

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        greatest = scaled.max(axis=1)
        total = np.log(np.exp(scaled - greatest[:, None]).sum(axis=1)) + greatest
        return float(np.mean(total - right * inverse))

    found = minimize_scalar(
        lambda log_inverse: loss(math.exp(log_inverse)),
        bounds=(-math.log(_HIGHEST), -math.log(_LOWEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(-found.x)

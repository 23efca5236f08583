"""How sure a classifier says it is, and how sure it should be."""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from sentiment.evaluation.metrics import SMALLEST_PROBABILITY

# Far beyond what any data ask for, see below.
_LOWEST, _HIGHEST = 0.02, 50.0


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that gives probabilities the least cross-entropy.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML
    2017 (https://arxiv.org/abs/1706.04599). As in Platt's "Probabilistic Outputs for
    Support Vector Machines" (1999), a class with n of the examples has the target
    (n + 1) / (n + c) among c classes instead of 1, and the others share the rest. So a
    few examples that are all right do not make a classifier sure of everything, and
    there is always one best temperature: the loss is convex in its inverse.

    Args:
        probabilities: float (num_examples, num_classes), softmax of some logits.
        labels: int (num_examples,).

    Returns:
        What the logits are to be divided by: above 1 where the classifier is too sure.
    """
    # Logits up to a number for each example, which softmax takes away.
    probabilities = np.asarray(probabilities, np.float64)
    logits = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    num_classes = logits.shape[1]
    counts = np.bincount(labels, minlength=num_classes)[labels, None]
    targets = (np.eye(num_classes)[labels] * counts + 1) / (counts + num_classes)
    wanted = (targets * logits).sum(axis=1)

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        greatest = scaled.max(axis=1)
        total = np.log(np.exp(scaled - greatest[:, None]).sum(axis=1)) + greatest
        return float(np.mean(total - wanted * inverse))

    found = minimize_scalar(
        lambda log_inverse: loss(math.exp(log_inverse)),
        bounds=(-math.log(_HIGHEST), -math.log(_LOWEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(-found.x)

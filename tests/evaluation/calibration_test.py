import math

import numpy as np
import pytest
from scipy.special import softmax

from sentiment.evaluation.calibration import fit_temperature


def test_who_says_90_percent_and_is_right_in_75_needs_a_temperature_of_2():
    """The loss is least where sigmoid(ln(9) / T) = 3/4, that is ln(9) / T = ln(3)."""
    probabilities = np.array([[0.9, 0.1]] * 8)
    labels = np.array([0, 0, 0, 1, 0, 0, 0, 1])
    assert fit_temperature(probabilities, labels) == pytest.approx(2, rel=1e-4)


def test_the_temperature_that_labels_were_drawn_with_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 3))
    for temperature in (0.5, 1.0, 3.0):
        chances = softmax(logits / temperature, axis=1)
        labels = (rng.random((len(logits), 1)) > chances.cumsum(axis=1)).sum(axis=1)
        found = fit_temperature(softmax(logits, axis=1), labels)
        assert found == pytest.approx(temperature, rel=0.03)


def test_no_other_temperature_has_a_smaller_loss():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], 50)
    chances = softmax(np.log(probabilities) / 2, axis=1)
    labels = (rng.random((50, 1)) > chances.cumsum(axis=1)).sum(axis=1)

    def loss(temperature):
        scaled = softmax(np.log(probabilities) / temperature, axis=1)
        return -np.log(scaled[np.arange(50), labels]).mean()

    best = fit_temperature(probabilities, labels)
    assert loss(best) < min(loss(best * 1.02), loss(best / 1.02), loss(1.0))


def test_where_all_are_right_or_none_the_temperature_has_an_end():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert fit_temperature(probabilities, np.array([0, 1])) == pytest.approx(
        0.05, rel=1e-3
    )
    assert fit_temperature(probabilities, np.array([1, 0])) == pytest.approx(
        20, rel=1e-3
    )


def test_probabilities_of_0_are_no_end():
    probabilities = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    found = fit_temperature(probabilities, np.array([0, 0, 1, 1]))
    assert math.isfinite(found)
    assert found > 10

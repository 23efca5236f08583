import math

import numpy as np
import pytest
from scipy.special import softmax

from sentiment.evaluation.calibration import fit_temperature


def test_who_says_90_percent_and_is_right_in_75_is_made_less_sure():
    """The loss is least where sigmoid(ln(9) / T) is the mean target of class 0.

    Of 8 examples 6 are of class 0, whose target is 7/8, and 2 are not: 1 - 3/4.
    """
    probabilities = np.array([[0.9, 0.1]] * 8)
    labels = np.array([0, 0, 0, 1, 0, 0, 0, 1])
    mean = (6 * 7 / 8 + 2 * 1 / 4) / 8
    expected = math.log(9) / math.log(mean / (1 - mean))
    assert fit_temperature(probabilities, labels) == pytest.approx(expected, rel=1e-4)


def test_the_temperature_that_labels_were_drawn_with_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 3))
    for temperature in (0.5, 1.0, 3.0):
        chances = softmax(logits / temperature, axis=1)
        labels = (rng.random((len(logits), 1)) > chances.cumsum(axis=1)).sum(axis=1)
        found = fit_temperature(softmax(logits, axis=1), labels)
        assert found == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("gap", [1.0, 4.0, 10.0, 30.0])
@pytest.mark.parametrize("count", [2, 10, 1000])
def test_all_right_is_as_sure_as_so_many_examples_allow(gap, count):
    """Half of the examples are of each class: sigmoid(gap / T) = (n + 1) / (n + 2)."""
    right, wrong = 1 / (1 + math.exp(-gap)), 1 / (1 + math.exp(gap))
    labels = np.arange(count) % 2
    probabilities = np.where(labels[:, None] == [0, 1], right, wrong)
    expected = gap / math.log(count / 2 + 1)
    found = fit_temperature(probabilities, labels)
    assert found == pytest.approx(expected, rel=1e-3)


def test_all_wrong_says_nothing_any_more():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]] * 20)
    assert fit_temperature(probabilities, np.array([1, 0] * 20)) > 40


def test_probabilities_of_0_are_no_end():
    probabilities = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    found = fit_temperature(probabilities, np.array([0, 0, 1, 1]))
    assert 10 < found < 1000

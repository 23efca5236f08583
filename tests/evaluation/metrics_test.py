import doctest
import json
import math

import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.evaluation import metrics
from sentiment.evaluation.metrics import (
    classification_metrics,
    expected_calibration_error,
    reliability_bins,
    wilson_interval,
)

NAMES = ["negative", "neutral", "positive"]

# Predictions 0, 0, 1, 1, 0; "positive" has no example and is never predicted.
LABELS = [0, 0, 0, 1, 1]
PROBABILITIES = [
    [0.5, 0.25, 0.25],
    [0.5, 0.25, 0.25],
    [0.25, 0.5, 0.25],
    [0.25, 0.5, 0.25],
    [0.5, 0.25, 0.25],
]


def ece(labels, probabilities, num_bins):
    return expected_calibration_error(reliability_bins(labels, probabilities, num_bins))


def test_values_by_hand():
    result = classification_metrics(LABELS, PROBABILITIES, NAMES)
    assert list(result) == [
        "accuracy",
        "macro_f1",
        "loss",
        "per_class",
        "confusion_matrix",
        "num_examples",
        "expected_calibration_error",
    ]
    assert result["accuracy"] == pytest.approx(3 / 5)
    # F1 = 2/3, 1/2 and, for the absent class, 0: (2/3 + 1/2 + 0) / 3 = 7/18.
    assert result["macro_f1"] == pytest.approx(7 / 18)
    # True class 1/2 three times and 1/4 twice: (3 ln 2 + 2 ln 4) / 5 = 7/5 ln 2.
    assert result["loss"] == pytest.approx(7 / 5 * math.log(2))
    # Confidence always 0.5, accuracy 0.6.
    assert result["expected_calibration_error"] == pytest.approx(0.1)
    assert result["num_examples"] == 5
    assert result["confusion_matrix"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_per_class_by_hand():
    per_class = classification_metrics(LABELS, PROBABILITIES, NAMES)["per_class"]
    # negative: 2 of 3 predicted right and 2 of 3 found; neutral: 1 of 2, 1 of 2.
    assert per_class == {
        "negative": pytest.approx(
            {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
        ),
        "neutral": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        "positive": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    }


def test_precision_and_recall_are_not_swapped():
    # All four predicted class 0, three of them rightly.
    result = classification_metrics([0, 0, 0, 1], [[0.9, 0.1]] * 4, ["no", "yes"])
    assert result["per_class"]["no"]["precision"] == 0.75
    assert result["per_class"]["no"]["recall"] == 1.0


def test_confusion_matrix_rows_are_true_classes():
    result = classification_metrics([2, 2], [[1.0, 0, 0], [0, 0, 1.0]], NAMES)
    # The absent middle class keeps its row and column.
    assert result["confusion_matrix"] == [[0, 0, 0], [0, 0, 0], [1, 0, 1]]


def test_result_survives_strict_json():
    result = classification_metrics(
        np.asarray(LABELS, np.int32), np.asarray(PROBABILITIES, np.float32), NAMES
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_zero_probability_of_the_true_class_gives_a_finite_loss():
    result = classification_metrics([1], [[1.0, 0.0]], ["no", "yes"])
    # The smallest normal float32 is 2^-126.
    assert result["loss"] == pytest.approx(126 * math.log(2))


def test_small_probabilities_are_not_clipped():
    result = classification_metrics([1], [[1.0, 1e-30]], ["no", "yes"])
    assert result["loss"] == pytest.approx(30 * math.log(10))


def test_num_bins_reaches_the_calibration_error():
    labels, probabilities = [0, 1], [[0.9, 0.1], [0.6, 0.4]]
    # One bin: |0.5 - 0.75| = 0.25. Ten bins: (|1 - 0.9| + |0 - 0.6|) / 2 = 0.35.
    for num_bins, expected in ((1, 0.25), (10, 0.35)):
        result = classification_metrics(labels, probabilities, ["a", "b"], num_bins)
        assert result["expected_calibration_error"] == pytest.approx(expected)


def test_calibration_error_of_two_bins():
    probabilities = [[0.4, 0.3, 0.3]] + [[0.8, 0.1, 0.1]] * 3
    # Lower bin: one right at 0.4. Upper bin: one of three right at 0.8.
    # 1/4 |1 - 0.4| + 3/4 |1/3 - 0.8| = 0.15 + 0.35 = 0.5.
    bins = reliability_bins([0, 0, 1, 2], probabilities, num_bins=2)
    np.testing.assert_array_equal(bins["edges"], [0, 0.5, 1])
    np.testing.assert_array_equal(bins["count"], [1, 3])
    np.testing.assert_allclose(bins["confidence"], [0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(bins["accuracy"], [1, 1 / 3])
    assert expected_calibration_error(bins) == pytest.approx(0.5)


def test_calibration_error_is_zero_when_perfectly_calibrated():
    # Three of four right at 0.75, and both right at 1.
    labels = [0, 0, 0, 1, 0, 0]
    probabilities = [[0.75, 0.25]] * 4 + [[1.0, 0.0]] * 2
    assert ece(labels, probabilities, num_bins=15) == 0.0


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    # float32(0.6) is above 0.6 in float64: the edge must be float32 too.
    for confidence, index in ((0.4, 1), (0.6, 2), (0.8, 3), (1.0, 4)):
        probabilities = np.asarray([[confidence] + [(1 - confidence) / 3] * 3])
        for dtype in (np.float32, np.float64):
            bins = reliability_bins([0], probabilities.astype(dtype), num_bins=5)
            assert bins["count"].tolist() == [int(i == index) for i in range(5)]


def test_rounding_above_one_stays_in_the_last_bin():
    bins = reliability_bins([0], [[1.0000002, 0.0]], num_bins=2)
    assert bins["count"].tolist() == [0, 1]


def test_empty_bins_are_nan_and_weigh_nothing():
    bins = reliability_bins([0], [[0.75, 0.25]], num_bins=2)
    assert math.isnan(bins["accuracy"][0]) and math.isnan(bins["confidence"][0])
    assert expected_calibration_error(bins) == pytest.approx(0.25)


def test_wilson_interval_by_hand():
    # z = 2, 8 of 10: scale = 1 + 4/10 = 1.4; centre = (0.8 + 4/20) / 1.4 = 1/1.4;
    # half = 2 sqrt(0.8 * 0.2 / 10 + 4/400) / 1.4 = 2 sqrt(0.026) / 1.4.
    half = 2 * math.sqrt(0.026)
    expected = ((1 - half) / 1.4, (1 + half) / 1.4)
    assert wilson_interval(8, 10, z=2) == pytest.approx(expected)


def test_wilson_interval_defaults_to_95_percent():
    assert wilson_interval(8, 10) == wilson_interval(8, 10, z=1.96)


@pytest.mark.parametrize("num_examples", [1, 3, 7, 872])
def test_wilson_interval_stays_within_zero_and_one(num_examples):
    low, high = wilson_interval(0, num_examples)
    assert low == pytest.approx(0, abs=1e-12) and 0 <= low < high < 1
    low, high = wilson_interval(num_examples, num_examples)
    assert high == pytest.approx(1, abs=1e-12) and 0 < low < high <= 1


@pytest.mark.parametrize(
    ("num_correct", "num_examples"), [(0, 0), (-1, 10), (11, 10), (0, -1)]
)
def test_wilson_interval_of_impossible_counts(num_correct, num_examples):
    with pytest.raises(InputError, match=f"{num_correct} correct of {num_examples}"):
        wilson_interval(num_correct, num_examples)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], np.zeros((0, 2)), r"at least one example.*\(0,\).*\(0, 2\)"),
        ([0, 1], [[0.5, 0.5]], r"\(2,\) and probabilities of shape \(1, 2\)"),
        ([0], [0.5], r"\(1,\) and probabilities of shape \(1,\)"),
        ([[0]], [[0.5, 0.5]], r"\(1, 1\) and probabilities of shape \(1, 2\)"),
        ([0, 2], [[0.5, 0.5]] * 2, r"0\.\.1, .*received 0\.\.2"),
        ([-1, 1], [[0.5, 0.5]] * 2, r"0\.\.1, .*received -1\.\.1"),
        ([0.5], [[0.5, 0.5]], "integers, received float64"),
    ],
)
@pytest.mark.parametrize("function", ["classification_metrics", "reliability_bins"])
def test_unusable_input_says_what_was_received(
    function, labels, probabilities, message
):
    names = {"label_names": ["a", "b"]} if function.startswith("class") else {}
    with pytest.raises(InputError, match=message):
        getattr(metrics, function)(labels, probabilities, **names)


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a"]])
def test_label_names_are_one_per_class_and_distinct(names):
    with pytest.raises(InputError, match="2 distinct label names, received"):
        classification_metrics([0], [[0.5, 0.5]], names)


def test_num_bins_below_one():
    with pytest.raises(InputError, match="received 0"):
        reliability_bins([0], [[0.5, 0.5]], num_bins=0)


def test_nan_probabilities_are_counted_and_not_the_users_fault():
    nan = float("nan")
    with pytest.raises(ValueError, match="3 of 4 probabilities are NaN") as caught:
        classification_metrics([0, 1], [[nan, nan], [nan, 0.5]], ["a", "b"])
    assert not isinstance(caught.value, InputError)


def test_docstring_examples():
    results = doctest.testmod(metrics)
    assert results.attempted >= 5 and results.failed == 0

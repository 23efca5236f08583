import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score

from sentiment.errors import InputError
from sentiment.evaluation.comparison import _macro_f1, compare, mcnemar
from sentiment.evaluation.predictions import Predictions


def made(accuracy, seed, size=400, num_classes=3):
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(0, num_classes, size)
    wrong = rng.random(size) > accuracy
    predicted = (labels + wrong * rng.integers(1, num_classes, size)) % num_classes
    probabilities = np.eye(num_classes)[predicted]
    return Predictions(
        [str(i) for i in range(size)], labels, probabilities, ("a", "b", "c")
    )


def test_mcnemar_by_hand():
    # 1 text that only the first has right, 6 that only the second has.
    first = np.array([1] + [0] * 6 + [1] * 5, bool)
    second = np.array([0] + [1] * 6 + [1] * 5, bool)
    wanted = 2 * binom.cdf(1, 7, 0.5)
    assert mcnemar(first, second) == pytest.approx(wanted)
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first))
    assert mcnemar(first, first) == 1.0


def test_better_run_is_seen_and_an_equal_one_is_not():
    runs = {"weak": made(0.6, 1), "strong": made(0.8, 2), "same": made(0.6, 1)}
    weak, strong, same = compare(runs)
    assert (weak.difference, weak.p_value) == (0, 1)
    assert strong.difference == pytest.approx(strong.accuracy - weak.accuracy)
    assert strong.p_value < 1e-6
    assert strong.difference_interval[0] > 0
    assert (same.difference_interval, same.p_value) == ((0, 0), 1)


def test_each_run_has_intervals_of_its_own():
    found = compare({"weak": made(0.6, 1), "strong": made(0.9, 2)})
    for run in found:
        low, high = run.macro_f1_interval
        assert low < run.macro_f1 < high < low + 0.15
    assert found[0].macro_f1_interval[1] < found[1].macro_f1_interval[0]


def test_interval_is_as_wide_as_the_binomial_says():
    (run, _) = compare({"a": made(0.7, 1, size=2000), "b": made(0.7, 2, size=2000)})
    low, high = run.accuracy_interval
    wanted = 2 * 1.96 * np.sqrt(run.accuracy * (1 - run.accuracy) / 2000)
    assert high - low == pytest.approx(wanted, rel=0.1)
    assert low < run.accuracy < high


def test_macro_f1_is_that_of_scikit_learn():
    run = made(0.5, 3)
    rows = np.arange(0, 400, 3)
    wanted = f1_score(
        run.labels[rows], run.probabilities.argmax(axis=1)[rows], average="macro"
    )
    assert _macro_f1(run, rows) == pytest.approx(wanted)


def test_same_seed_same_intervals():
    runs = {"a": made(0.6, 1), "b": made(0.8, 2)}
    assert compare(runs, seed=1) == compare(runs, seed=1) != compare(runs, seed=2)


def test_runs_on_other_texts_or_classes_are_refused():
    one, other = made(0.6, 1), made(0.6, 1, size=300)
    with pytest.raises(InputError, match="a and b were not tested on the same texts"):
        compare({"a": one, "b": other})
    with pytest.raises(InputError, match="a and c were not tested on the same texts"):
        compare({"a": one, "b": one, "c": other})
    swapped = Predictions(one.keys, 2 - one.labels, one.probabilities, ("c", "b", "a"))
    with pytest.raises(InputError, match="do not know the same classes: a, b, c and c"):
        compare({"a": one, "b": swapped})

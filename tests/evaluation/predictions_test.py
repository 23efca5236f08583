import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.evaluation.predictions import (
    Predictions,
    read_predictions,
    shortest_names,
    text_keys,
    write_predictions,
)
from sentiment.runs.files import PREDICTIONS_FILE


def test_predictions_come_back(tmp_path):
    names = ("so, so", "good")
    probabilities = np.array([[0.25, 0.75], [1.0, 0.0]])
    predictions = Predictions(["a", "b"], np.array([1, 1]), probabilities, names)
    write_predictions(predictions, tmp_path / PREDICTIONS_FILE)
    for path in (tmp_path, tmp_path / PREDICTIONS_FILE):
        loaded = read_predictions(path)
        assert (loaded.keys, loaded.label_names) == (["a", "b"], names)
        np.testing.assert_array_equal(loaded.labels, [1, 1])
        np.testing.assert_allclose(loaded.probabilities, probabilities)
        assert loaded.is_correct.tolist() == [True, False]


def test_six_digits_of_a_probability_are_kept(tmp_path):
    exact = np.array([[1 / 3, 2 / 3], [1.23456789e-9, 1 - 1.23456789e-9]])
    predictions = Predictions(["a", "b"], np.array([0, 1]), exact, ("x", "y"))
    write_predictions(predictions, tmp_path / "p.csv")
    found = read_predictions(tmp_path / "p.csv").probabilities
    np.testing.assert_allclose(found, exact, rtol=5e-6)


def test_keys_tell_texts_apart():
    first, second, third, odd = text_keys(["a", "a ", "a", "\ud800"])
    assert first == third != second
    assert odd not in (first, second)


ROW = "text_key,label,x\nk,x,{}\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        "text_key,label,x\n",
        "\x00",
        ROW.format("nan"),
        ROW.format("1" * 200_000),
    ],
)
def test_what_is_no_predictions_is_refused(tmp_path, content):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(InputError, match="holds no predictions"):
        read_predictions(tmp_path / "p.csv")


def test_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match="Give the workdir of a run"):
        read_predictions(tmp_path / "none")


def test_names_are_as_short_as_tells_runs_apart():
    paths = ["/w/one/lm", "/w/two/lm", "/w/nb"]
    names = {"one/lm": paths[0], "two/lm": paths[1], "w/nb": paths[2]}
    assert shortest_names(paths) == names
    assert shortest_names(["a", "./a"]) == {"a": "a", "./a": "./a"}

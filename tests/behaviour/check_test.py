import json

import numpy as np
import pytest

from sentiment.behaviour.check import check_behaviour
from sentiment.behaviour.rules import IsOneOf, IsSame, Moves
from sentiment.behaviour.suite import Behaviour, Suite
from sentiment.errors import InputError
from sentiment.inference.polarity import Polarity

SUITE = Suite(
    "toy",
    (
        Behaviour("words", "praise", IsOneOf(("positive",)), (("+",), ("-",), ("++",))),
        Behaviour("words", "nothing", IsOneOf(("neutral",)), (("0",), ("+",))),
        Behaviour("other", "same", IsSame(), (("+", "++"),)),
        Behaviour("other", "rises", Moves(1), (("+", "-"), ("-", "0", "++"))),
    ),
)
THREE = {"-": [0.8, 0.1, 0.1], "0": [0.1, 0.8, 0.1], "+": [0.1, 0.3, 0.6]}
THREE["++"] = [0.0, 0.1, 0.9]


def predict(texts):
    assert len(set(texts)) == len(texts)  # each once
    return np.array([THREE[text] for text in texts])


def predict_two(texts):
    found = predict(texts)[:, [2, 0]]
    return found / found.sum(1, keepdims=True)


@pytest.fixture
def found():
    return check_behaviour(
        predict, Polarity.of(("negative", "neutral", "positive")), SUITE
    )


def test_passed_cases_are_counted(found):
    assert [(b["num_passed"], b["num_cases"]) for b in found["behaviours"]] == [
        (2, 3),
        (1, 2),
        (1, 1),
        (1, 2),
    ]
    words, other = found["sections"].values()
    assert (words["num_passed"], words["num_cases"], words["share"]) == (3, 5, 0.6)
    assert other["share"] == pytest.approx(2 / 3)
    # Each section counts the same.
    assert found["all"]["share"] == pytest.approx((0.6 + 2 / 3) / 2)
    assert (found["all"]["num_passed"], found["all"]["num_cases"]) == (5, 8)
    low, high = words["interval"]
    assert 0.2 < low < 0.6 < high < 0.9


def test_what_fails_is_shown_with_its_answers(found):
    failures = [b["failures"] for b in found["behaviours"]]
    assert failures == [
        [{"texts": ["-"], "predicted": ["negative"]}],
        [{"texts": ["+"], "predicted": ["positive"]}],
        [],
        [{"texts": ["+", "-"], "predicted": ["positive", "negative"]}],
    ]
    json.dumps(found)


def test_only_so_many_failures_are_shown():
    polarity = Polarity.of(("negative", "neutral", "positive"))
    found = check_behaviour(predict, polarity, SUITE, num_failures=0)
    assert not any(b["failures"] for b in found["behaviours"])
    assert found["behaviours"][0]["num_passed"] == 2


def test_two_classes_and_nothing_but_neutral_answers_are_refused():
    suite = Suite("grey", SUITE.behaviours[1:2])
    with pytest.raises(InputError, match=r"suite grey .*mean positive, negative"):
        check_behaviour(predict_two, Polarity.of(("positive", "negative")), suite)


def test_two_classes_are_not_asked_what_is_neutral():
    found = check_behaviour(predict_two, Polarity.of(("positive", "negative")), SUITE)
    assert [b["name"] for b in found["behaviours"]] == ["praise", "same", "rises"]
    assert found["sections"]["words"]["num_cases"] == 3
    assert found["meanings"] == ["positive", "negative"]

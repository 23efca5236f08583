import numpy as np
import pytest

from sentiment.behaviour.rules import SLACK, IsOneOf, IsSame, Moves

NEGATIVE, NEUTRAL, POSITIVE = [0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]


def of_tone(*tones):
    return np.array([[(1 - t) / 2, 0, (1 + t) / 2] for t in tones])


def test_an_answer_is_one_of_those_that_are_right():
    assert IsOneOf(("negative",)).holds(np.array([NEGATIVE]))
    assert not IsOneOf(("negative",)).holds(np.array([NEUTRAL]))
    rule = IsOneOf(("neutral", "positive"))
    assert [rule.holds(np.array([x])) for x in (NEGATIVE, NEUTRAL, POSITIVE)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (IsOneOf(("neutral",)), False),
        (IsOneOf(("neutral", "positive")), True),
        (IsOneOf(("negative",)), True),
        (IsSame(), True),
        (Moves(1), True),
    ],
)
def test_what_must_be_neutral_is_nothing_for_two_classes(rule, fits):
    assert rule.fits(has_neutral=True)
    assert rule.fits(has_neutral=False) == fits


def test_the_same_is_the_same_polarity_or_nearly_the_same_tone():
    assert IsSame().holds(of_tone(0.1, 0.9))
    assert IsSame().holds(of_tone(0.04, -0.04))
    assert not IsSame().holds(of_tone(0.3, -0.3))
    assert not IsSame().holds(np.array([NEUTRAL, POSITIVE]))


@pytest.mark.parametrize("sign", [1, -1])
def test_tone_moves_one_way_but_for_a_little(sign):
    rule = Moves(sign)
    assert rule.holds(of_tone(-0.5 * sign, 0.0, 0.5 * sign))
    assert rule.holds(of_tone(0.2, 0.2 - 0.9 * SLACK * sign))
    assert not rule.holds(of_tone(0.2, 0.2 - 1.1 * SLACK * sign))
    assert not rule.holds(of_tone(-0.5 * sign, 0.5 * sign, 0.0))


def test_each_says_what_it_wants():
    rules = IsOneOf(("neutral", "positive")), IsSame(), Moves(1), Moves(-1)
    said = ["neutral or positive", "the same", "more positive", "more negative"]
    assert list(map(str, rules)) == said

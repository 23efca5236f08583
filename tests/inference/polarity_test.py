import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.inference.polarity import Polarity, tone


@pytest.mark.parametrize(
    ("names", "meanings"),
    [
        (("negative", "positive"), ("negative", "positive")),
        (("POS", "Neu", "NEG"), ("positive", "neutral", "negative")),
        (
            ("very_negative", "negative", "neutral", "positive", "very positive"),
            ("negative", "negative", "neutral", "positive", "positive"),
        ),
        (("1 star", "3 stars", "5 stars"), ("negative", "neutral", "positive")),
    ],
)
def test_names_of_classes_say_what_they_mean(names, meanings):
    assert Polarity.of(names).meanings == meanings
    assert Polarity.of(names).has_neutral == ("neutral" in meanings)


def test_what_is_said_counts_more_than_names():
    given = ("positive", "negative")
    assert Polarity.of(("negative", "positive"), given).meanings == given
    assert Polarity.of(("LABEL_0", "LABEL_1"), given).meanings == given


@pytest.mark.parametrize(
    ("names", "meanings"),
    [
        (("LABEL_0", "LABEL_1"), ()),
        (("negative", "joy"), ()),
        (("neutral", "positive"), ()),
        (("a", "b", "c"), ("negative", "positive")),
        (("a", "b"), ("neutral", "positive")),
    ],
)
def test_what_stays_in_doubt_is_refused(names, meanings):
    given = ", ".join(meanings) or "nothing"
    with pytest.raises(InputError, match=rf"--polarity=.*\. Received: {given}\.$"):
        Polarity.of(names, meanings)


def test_probabilities_of_one_meaning_are_added():
    polarity = Polarity.of(
        ("very positive", "negative", "neutral", "positive", "very negative")
    )
    folded = polarity.fold([[0.1, 0.2, 0.3, 0.15, 0.25]])
    np.testing.assert_allclose(folded, [[0.45, 0.3, 0.25]])
    np.testing.assert_allclose(tone(folded), [-0.2])


def test_without_a_neutral_class_nothing_is_neutral():
    folded = Polarity.of(("positive", "negative")).fold([[0.7, 0.3], [0.0, 1.0]])
    np.testing.assert_allclose(folded, [[0.3, 0, 0.7], [1, 0, 0]])

import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.ensemble import Ensemble

TEXTS = ["a fine film", "dull", "<br>"]


def test_answers_are_the_mean_in_the_order_of_the_first(make_classifier):
    one, other = make_classifier(num_classes=3), make_classifier(num_classes=3)
    one.label_names = ("bad", "fair", "good")
    other.label_names = ("fair", "good", "bad")  # an order that is not its own inverse
    both = Ensemble([one, other])
    assert both.label_names == ("bad", "fair", "good")
    expected = (one.predict(TEXTS) + other.predict(TEXTS)[:, [2, 0, 1]]) / 2
    np.testing.assert_allclose(both.predict(TEXTS), expected, rtol=1e-6)
    probabilities, is_empty = both.predict_texts(TEXTS, batch_size=1)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    assert probabilities.dtype == np.float32
    assert is_empty.tolist() == [False, False, True]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("no", "yes")])
def test_members_know_the_same_classes(make_classifier, names):
    other = make_classifier(num_classes=len(names))
    other.label_names = names
    with pytest.raises(InputError, match="only if they know the same") as error:
        Ensemble([make_classifier(), other])
    assert ", ".join(names) in str(error.value)

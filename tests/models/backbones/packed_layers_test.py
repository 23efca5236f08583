import copy

import keras
import numpy as np
import pytest

from sentiment.errors import InputError

TEXTS = ["A great film!", "bad"]


def test_a_classifier_is_copied_whole_or_not_at_all(real_classifier):
    with pytest.raises(InputError, match=r"use copy\.deepcopy\(classifier\)"):
        keras.models.clone_model(real_classifier)
    expected = real_classifier.predict(TEXTS)
    other = copy.deepcopy(real_classifier)
    assert type(other) is type(real_classifier)
    np.testing.assert_allclose(other.predict(TEXTS), expected, rtol=0, atol=1e-6)
    other.fit(TEXTS, [2, 0], epochs=3, verbose=0)
    assert not np.allclose(other.predict(TEXTS), expected, atol=1e-6)
    np.testing.assert_array_equal(real_classifier.predict(TEXTS), expected)

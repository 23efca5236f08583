import pytest

from sentiment.config import (
    TrainingConfig,
)
from sentiment.errors import InputError


@pytest.mark.parametrize("weights", [("0.5", "2"), ("1e-3",)])
def test_class_weights_are_numbers(weights):
    config = TrainingConfig(class_weight=weights)
    assert config.class_weight_values() == tuple(map(float, weights))


@pytest.mark.parametrize("word", ["none", "balanced"])
def test_class_weight_may_be_a_word(word):
    assert TrainingConfig(class_weight=(word,)).class_weight == (word,)


@pytest.mark.parametrize(
    "weights",
    [
        (),
        ("",),
        ("1", "0"),
        ("-1",),
        ("nan",),
        ("inf",),
        ("1", "balanced"),
        ("1", "1e7"),
    ],
)
def test_other_class_weights_are_an_input_error(weights):
    with pytest.raises(InputError, match="numbers above 0"):
        TrainingConfig(class_weight=weights)

import pytest

from sentiment.config import (
    POOLING_NAMES,
    ModelConfig,
)
from sentiment.errors import InputError
from sentiment.models.pooling import POOLINGS


def test_pooling_names_are_those_of_the_layers():
    assert tuple(POOLINGS) == POOLING_NAMES


@pytest.mark.parametrize("length", [1, 2])
def test_a_sequence_has_room_for_a_token(length):
    with pytest.raises(InputError, match=f"at least 3 .*Received: {length}"):
        ModelConfig(sequence_length=length)


def test_a_sequence_is_within_the_positions():
    assert ModelConfig(sequence_length=64, max_positions=64).sequence_length == 64
    with pytest.raises(InputError, match="beyond the 64 positions"):
        ModelConfig(sequence_length=65, max_positions=64)


def test_heads_divide_the_width():
    with pytest.raises(InputError, match="hidden_dim=10, num_heads=4"):
        ModelConfig(hidden_dim=10, num_heads=4)


def test_sizes_do_not_matter_with_a_preset():
    ModelConfig(preset="gpt2_base_en", hidden_dim=10, num_heads=4)
    ModelConfig(preset="gpt2_medium_en", sequence_length=1024, max_positions=512)

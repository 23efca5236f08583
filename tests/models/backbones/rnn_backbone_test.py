import keras
import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.backbones.rnn_backbone import (
    CELLS,
    RNNBackbone,
    SegmentRecurrence,
)

KERAS_LAYERS = {
    "rnn": keras.layers.SimpleRNN,
    "gru": keras.layers.GRU,
    "lstm": keras.layers.LSTM,
}
UNITS = 6

each_cell = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(size=(2, 9, UNITS)).astype("float32")


def starts_at(*positions, length=9):
    starts = np.zeros((2, length), bool)
    starts[:, list(positions)] = True
    return starts


@each_cell
def test_layer_is_that_of_keras(cell, inputs, randomize):
    layer = SegmentRecurrence(UNITS, cell)
    layer(inputs, starts_at(0))
    reference = KERAS_LAYERS[cell](UNITS, return_sequences=True)
    reference(inputs)
    randomize(layer)
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        layer(inputs, starts_at(0)), reference(inputs), atol=1e-5
    )


@each_cell
def test_fresh_weights_are_drawn_as_in_keras(cell, inputs):
    layer, reference = SegmentRecurrence(UNITS, cell), KERAS_LAYERS[cell](UNITS)
    layer(inputs, starts_at(0))
    reference(inputs)
    ours, theirs = layer.get_weights(), reference.get_weights()
    assert [w.shape for w in ours] == [w.shape for w in theirs]
    np.testing.assert_array_equal(ours[2], theirs[2])  # the forget gate's ones


@each_cell
def test_a_segment_reads_nothing_of_the_one_before(cell, inputs, randomize):
    layer = SegmentRecurrence(UNITS, cell)
    layer(inputs, starts_at(0))
    randomize(layer)
    packed = layer(inputs, starts_at(0, 4))
    alone = layer(inputs[:, 4:], starts_at(0, length=5))
    np.testing.assert_allclose(packed[:, 4:], alone, atol=1e-6)
    assert not np.allclose(packed[:, 4:], layer(inputs, starts_at(0))[:, 4:])


def test_unknown_cell_is_named():
    with pytest.raises(InputError, match=r"rnn, gru, lstm. Received: 'elman'"):
        RNNBackbone(10, 1, 4, "elman")


@each_cell
def test_backbone_round_trips(cell, randomize, tmp_path):
    backbone = randomize(RNNBackbone(40, 2, UNITS, cell, dropout=0.0))
    backbone.save_to_preset(str(tmp_path))
    loaded = RNNBackbone.from_preset(str(tmp_path))
    assert loaded.get_config() == backbone.get_config()
    ids = np.array([[3, 1, 4, 1, 5, 0, 0]])
    x = {"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}
    np.testing.assert_array_equal(loaded(x), backbone(x))

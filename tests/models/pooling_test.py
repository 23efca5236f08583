import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from sentiment.config import POOLING_NAMES
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.pooling import POOLINGS, segment_membership, segment_starts

HIDDEN = 4
# Rows: several segments and padding, one segment that fills the row, nothing.
LENGTHS = np.array([[3, 1, 4, 0], [9, 0, 0, 0], [0, 0, 0, 0]], np.int32)
USED = LENGTHS > 0


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def attention_by_hand(states, projection, bias, score):
    scores = np.tanh(states @ projection + bias) @ score[:, 0]
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ states


def rnn_by_hand(states, kernel, recurrent, bias):
    h = np.zeros(HIDDEN)
    for x in states:
        h = np.tanh(x @ kernel + h @ recurrent + bias)
    return h


def gru_by_hand(states, kernel, recurrent, bias):
    """Cho et al. 2014 in cuDNN's form: the reset gate after the product."""
    h = np.zeros(HIDDEN)
    for x in states:
        xz, xr, xh = np.split(x @ kernel + bias[0], 3)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    return h


def lstm_by_hand(states, kernel, recurrent, bias):
    h = c = np.zeros(HIDDEN)
    for x in states:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


BY_HAND = {
    "last": lambda states: states[-1],
    "cls": lambda states: states[0],
    "mean": lambda states: states.sum(axis=0) / len(states),
    "max": lambda states: states.max(axis=0),
    "concat": lambda states: np.concatenate(
        [states[-1], states.mean(axis=0), states.max(axis=0)]
    ),
    "attention": attention_by_hand,
    "rnn": rnn_by_hand,
    "gru": gru_by_hand,
    "lstm": lstm_by_hand,
}


@pytest.fixture(scope="module")
def hidden_states():
    # All negative: a 0 from padding would win a maximum.
    rng = np.random.default_rng(0)
    return rng.uniform(-2.0, -0.1, (len(LENGTHS), 9, HIDDEN)).astype(np.float32)


@functools.cache
def segment_ids():
    token_ids = np.zeros((len(LENGTHS), 9), np.int32)
    return np.asarray(SegmentLayout()(token_ids, LENGTHS)[0])


@pytest.fixture(scope="module", params=list(POOLINGS))
def pooled(request, randomize, hidden_states):
    """`(name, weights, output, jacobian of the output)` of one pooling layer."""
    layer = POOLINGS[request.param](name="pooler")
    layer.build(hidden_states.shape, segment_ids().shape, LENGTHS.shape)
    randomize(layer)

    def call(hidden_states):
        output = layer(hidden_states, jnp.asarray(segment_ids()), jnp.asarray(LENGTHS))
        return output, output

    jacobian, output = jax.jit(jax.jacrev(call, has_aux=True))(hidden_states)
    weights = [np.asarray(weight, np.float64) for weight in layer.weights]
    return request.param, weights, np.asarray(output), np.asarray(jacobian)


def test_every_pooling_has_a_flag_value_and_a_hand_computation():
    assert tuple(POOLINGS) == POOLING_NAMES
    assert set(BY_HAND) == set(POOLINGS)


def test_used_slots_equal_hand_computation_on_the_segment_alone(pooled, hidden_states):
    name, weights, output, _ = pooled
    for row, slot in np.argwhere(USED):
        states = hidden_states[row, segment_ids()[row] == slot + 1].astype(np.float64)
        expected = BY_HAND[name](states, *weights)
        np.testing.assert_allclose(output[row, slot], expected, rtol=0, atol=1e-6)


def test_all_slots_are_finite_in_value_and_gradient(pooled):
    _, _, output, jacobian = pooled
    assert np.isfinite(output).all()
    assert np.isfinite(jacobian).all()


def test_gradients_stay_inside_the_segment(pooled):
    _, _, _, jacobian = pooled
    influence = np.abs(jacobian).max(axis=(2, 5))  # (row, slot, row, token)
    for row, slot in np.argwhere(USED):
        own = np.zeros((len(LENGTHS), 9), bool)
        own[row] = segment_ids()[row] == slot + 1
        assert (influence[row, slot][~own] == 0).all()
        assert influence[row, slot][own].any()


def test_output_is_float32_of_the_announced_width(pooled):
    name, _, output, _ = pooled
    assert output.dtype == np.float32
    layer = POOLINGS[name]()
    spec = layer.compute_output_spec(
        jax.ShapeDtypeStruct((3, 9, HIDDEN), "float32"), segment_ids(), LENGTHS
    )
    assert output.shape == spec.shape


def test_bfloat16_hidden_states_are_pooled_in_float32():
    ones = jnp.ones((1, 300, 2), "bfloat16") * 1.0078125
    ids = np.ones((1, 300), np.int32)
    output = POOLINGS["mean"]()(ones, ids, np.array([[300]]))
    np.testing.assert_allclose(np.asarray(output), 1.0078125, rtol=1e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_is_in_float32_whatever_the_policy_of_the_process(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = POOLINGS[name]()
        layer.build((1, 9, HIDDEN), (1, 9), (1, 4))
    finally:
        keras.config.set_dtype_policy(before)
    assert layer.compute_dtype == "float32"
    assert {weight.dtype for weight in layer.weights} <= {"float32"}


def test_attention_weighs_no_padding_however_low_its_scores_are(hidden_states):
    layer = POOLINGS["attention"]()
    layer.build(hidden_states.shape, segment_ids().shape, LENGTHS.shape)
    # Each token scores tanh(9) * -500 * HIDDEN: alike, and far below those of no one.
    projection = np.zeros((HIDDEN, HIDDEN)), np.full(HIDDEN, 9.0)
    layer.set_weights([*projection, np.full((HIDDEN, 1), -500.0)])
    output = np.asarray(layer(hidden_states, segment_ids(), LENGTHS))
    mean = np.asarray(POOLINGS["mean"]()(hidden_states, segment_ids(), LENGTHS))
    np.testing.assert_allclose(output[USED], mean[USED], rtol=1e-5)


def test_membership_and_starts_of_a_row():
    ids = np.array([[1, 1, 2, 0]])
    np.testing.assert_array_equal(
        segment_membership(ids, 3)[0],
        np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool),
    )
    np.testing.assert_array_equal(segment_starts(ids), [[True, False, True, True]])

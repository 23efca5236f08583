import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sentiment.models import segment_attention as module
from sentiment.models.segment_attention import (
    segment_attention,
    segment_query_attention,
)

HEADS, HEAD_DIM = 2, 3
SEGMENT_IDS = np.array([[1, 1, 1, 2, 2, 3, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]])


@pytest.fixture(autouse=True, params=["late", "at once"])
def normalizes(request, monkeypatch):
    """Sums are taken out of what was read, as on a CPU, or of each weight."""
    is_late = request.param == "late"
    monkeypatch.setattr(module, "_normalizes_late", lambda: is_late)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    shape = (*SEGMENT_IDS.shape, HEADS, HEAD_DIM)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(3)]


def by_hand(query, key, value, row, head, token, first):
    """One token's attention over tokens `first` to itself."""
    scores = key[row, first : token + 1, head] @ query[row, token, head]
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ value[row, first : token + 1, head]


def starts(row):
    return [int(np.argmax(SEGMENT_IDS[row] == i)) for i in SEGMENT_IDS[row]]


@pytest.mark.parametrize("chunk_length", [None, 1, 3, 4, 8, 100])
def test_each_token_attends_to_its_segment_up_to_itself(tensors, chunk_length):
    run = jax.jit(lambda *x: segment_attention(*x, SEGMENT_IDS, True, chunk_length))
    found = np.asarray(run(*tensors))
    for row in range(2):
        for token, first in enumerate(starts(row)):
            for head in range(HEADS):
                np.testing.assert_allclose(
                    found[row, token, head],
                    by_hand(*tensors, row, head, token, first),
                    rtol=1e-5,
                    atol=1e-6,
                )


@pytest.mark.parametrize("window", [1, 2, 4, 100])
@pytest.mark.parametrize("chunk_length", [None, 1, 3])
def test_a_window_hides_what_is_further_back(tensors, chunk_length, window):
    def attend(*x):
        return segment_attention(*x, SEGMENT_IDS, True, chunk_length, window=window)

    found = np.asarray(jax.jit(attend)(*tensors))
    ends = segment_query_attention(
        tensors[0][:, [2, 4, 5, 7]], *tensors[1:], SEGMENT_IDS, window=window
    )
    for row in range(2):
        for token, first in enumerate(starts(row)):
            first = max(first, token - window + 1)
            for head in range(HEADS):
                expected = by_hand(*tensors, row, head, token, first)
                np.testing.assert_allclose(
                    found[row, token, head], expected, rtol=1e-5, atol=1e-6
                )
    for slot, token in enumerate([2, 4, 5]):  # the ends of row 0
        np.testing.assert_allclose(ends[0, slot], found[0, token], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [1, 2, 4, 100])
@pytest.mark.parametrize("chunk_length", [None, 1, 3])
def test_a_window_hides_what_is_further_on_either_side(tensors, chunk_length, window):
    query, key, value = tensors

    def attend(*x):
        return segment_attention(*x, SEGMENT_IDS, False, chunk_length, window=window)

    found = np.asarray(jax.jit(attend)(*tensors))
    places = np.arange(SEGMENT_IDS.shape[1])
    is_seen = SEGMENT_IDS[:, :, None] == SEGMENT_IDS[:, None]
    is_seen &= np.abs(places[:, None] - places) < window
    weights = np.exp(np.einsum("bqnh,bknh->bnqk", query, key)) * is_seen[:, None]
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bnqk,bknh->bqnh", weights, value)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    first = segment_query_attention(
        query[:, [0, 3, 5, 0]], key, value, SEGMENT_IDS, window=window, is_first=True
    )
    np.testing.assert_allclose(
        first[0, :3], expected[0, [0, 3, 5]], rtol=1e-5, atol=1e-6
    )


def test_segment_ends_attend_to_their_whole_segment(tensors):
    ends = {(0, 0): 2, (0, 1): 4, (0, 2): 5, (1, 0): 7}
    query = np.zeros((2, 4, HEADS, HEAD_DIM), np.float32)
    for (row, slot), token in ends.items():
        query[row, slot] = tensors[0][row, token]
    found = segment_query_attention(query, *tensors[1:], SEGMENT_IDS)
    assert np.isfinite(found).all()
    for (row, slot), token in ends.items():
        for head in range(HEADS):
            expected = by_hand(*tensors, row, head, token, starts(row)[token])
            np.testing.assert_allclose(found[row, slot, head], expected, rtol=1e-5)


@pytest.mark.parametrize("chunk_length", [None, 3])
def test_weights_pass_through_dropout_in_every_chunk(tensors, chunk_length):
    shapes = []

    def drop(weights):
        shapes.append(weights.shape)
        return weights * 0.5  # after the sum over all of them was taken

    found = segment_attention(*tensors, SEGMENT_IDS, True, chunk_length, drop)
    whole = segment_attention(*tensors, SEGMENT_IDS, True, chunk_length)
    np.testing.assert_allclose(found, whole / 2, rtol=1e-5)
    widths = {None: [(8, 8)], 3: [(3, 3), (3, 6), (2, 8)]}[chunk_length]
    assert shapes == [(2, HEADS, *width) for width in widths]


def test_half_precision_softmax_is_in_float32(tensors):
    half = [tensor.astype("bfloat16") for tensor in tensors]
    seen = []
    found = segment_attention(
        *half,
        SEGMENT_IDS,
        True,
        None,
        lambda weights: seen.append(weights.dtype) or weights,
    )
    assert found.dtype == seen[0] == "bfloat16"
    text = str(
        jax.make_jaxpr(lambda *x: segment_attention(*x, SEGMENT_IDS, True))(*half)
    )
    assert "exp" in text
    assert all("f32" in line for line in text.splitlines() if " exp " in line)


@pytest.mark.parametrize("scale", [1, 100])
def test_gradients_are_those_of_a_softmax(tensors, scale):
    """Also of scores that only their maximum keeps from overflowing."""
    query, key, value = tensors
    is_seen = SEGMENT_IDS[:, :, None] == SEGMENT_IDS[:, None]

    def own(*x):
        return (segment_attention(*x, SEGMENT_IDS, False, 3) ** 2).sum()

    def plain(query, key, value):
        scores = jnp.einsum("bqnh,bknh->bnqk", query, key)
        weights = jax.nn.softmax(jnp.where(is_seen[:, None], scores, -1e9))
        return (jnp.einsum("bnqk,bknh->bqnh", weights, value) ** 2).sum()

    for found, expected in zip(
        jax.grad(own, (0, 1, 2))(scale * query, key, value),
        jax.grad(plain, (0, 1, 2))(scale * query, key, value),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * scale)

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sentiment.models.packed_backbone import (
    SegmentAttentionMask,
    SegmentLayout,
    embed_tokens,
    transform_embeddings,
)

LENGTHS = np.array([[3, 2, 0]], np.int32)
ROW_LENGTH = 6


def layout(lengths, row_length):
    token_ids = np.zeros((len(lengths), row_length), np.int32)
    segment_ids, positions = SegmentLayout()(token_ids, np.asarray(lengths))
    return np.asarray(segment_ids), np.asarray(positions)


def drawing(array):
    return " ".join(map(str, np.asarray(array).astype(int)))


# --- Layout and mask


def test_layout_is_as_drawn_in_its_docstring():
    segment_ids, positions = layout(LENGTHS, ROW_LENGTH)
    np.testing.assert_array_equal(segment_ids, [[1, 1, 1, 2, 2, 0]])
    np.testing.assert_array_equal(positions, [[0, 1, 2, 0, 1, 0]])
    documented = inspect.getdoc(SegmentLayout)
    assert "lengths [3, 2, 0] in a row of 6" in documented
    assert f"segment_ids  {drawing(segment_ids[0])} " in documented
    assert f"positions    {drawing(positions[0])} " in documented


def test_mask_is_as_drawn_in_its_docstring():
    mask = np.asarray(SegmentAttentionMask()(np.array([[1, 1, 2, 0]])))[0]
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(mask, np.array(expected, bool))
    assert mask.dtype == bool
    documented = inspect.getdoc(SegmentAttentionMask)
    assert "segment_ids [1, 1, 2, 0]" in documented
    assert "\n".join(f"    {drawing(row)}" for row in mask) in documented


def test_layout_equals_counting_token_by_token():
    rng = np.random.default_rng(0)
    lengths = np.zeros((50, 5), np.int32)
    expected_ids, expected_positions = np.zeros((2, 50, 16), np.int32)
    for row in range(50):
        end = 0
        for slot in range(rng.integers(0, 6)):
            length = rng.integers(1, 17 - end) if end < 16 else 0
            lengths[row, slot] = length
            for position in range(length):
                expected_ids[row, end + position] = slot + 1
                expected_positions[row, end + position] = position
            end += length
    segment_ids, positions = layout(lengths, 16)
    np.testing.assert_array_equal(segment_ids, expected_ids)
    np.testing.assert_array_equal(positions, expected_positions)


def test_layout_of_full_and_of_empty_rows():
    segment_ids, positions = layout([[4, 0], [1, 3], [0, 0]], 4)
    np.testing.assert_array_equal(segment_ids, [[1] * 4, [1, 2, 2, 2], [0] * 4])
    np.testing.assert_array_equal(positions, [[0, 1, 2, 3], [0, 0, 1, 2], [0] * 4])


# --- The backbone over packed rows


@pytest.fixture
def backbone(make_backbone, randomize):
    return randomize(make_backbone(vocabulary_size=40))


def hidden_states(backbone, token_ids, lengths):
    token_ids, lengths = np.asarray(token_ids), np.asarray(lengths)

    @jax.jit
    def run(token_ids, lengths):
        segment_ids, positions = SegmentLayout()(token_ids, lengths)
        embeddings = embed_tokens(backbone, token_ids, positions)
        return transform_embeddings(backbone, embeddings, segment_ids)

    return np.asarray(run(token_ids, lengths))


def test_each_segment_reads_as_stock_backbone_reads_it_alone(backbone):
    rng = np.random.default_rng(1)
    reviews = [rng.integers(1, 40, n) for n in (5, 1, 7)]
    row = np.concatenate([*reviews, [9, 9, 9]])  # The end is padding, whatever its ids.
    packed = hidden_states(backbone, [row], [[5, 1, 7, 0]])[0]

    alone = np.zeros((3, 16), np.int32)
    padding_mask = np.zeros((3, 16), np.int32)
    for i, review in enumerate(reviews):
        alone[i, : len(review)] = review
        padding_mask[i, : len(review)] = 1
    stock = jax.jit(lambda *x: backbone(dict(zip(backbone.input, x, strict=True))))
    assert list(backbone.input) == ["token_ids", "padding_mask"]
    expected = np.asarray(stock(alone, padding_mask))
    start = 0
    for i, review in enumerate(reviews):
        np.testing.assert_allclose(
            packed[start : start + len(review)],
            expected[i, : len(review)],
            rtol=0,
            atol=1e-5,
        )
        start += len(review)


def test_gradients_reach_own_segment_up_to_own_token_and_nothing_else(backbone):
    segment_ids, positions = layout(LENGTHS, ROW_LENGTH)
    embeddings = embed_tokens(backbone, np.array([[5, 6, 7, 8, 9, 0]]), positions)

    @jax.jit
    @jax.jacrev
    def jacobian(embeddings):
        return transform_embeddings(backbone, embeddings, jnp.asarray(segment_ids))[0]

    influence = np.abs(jacobian(embeddings)).max(axis=(1, 2, 4))
    reached = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(influence != 0, np.array(reached, bool))
    assert np.isfinite(influence).all()


def test_backbone_stays_plain_and_gains_no_weights(make_classifier):
    classifier = make_classifier()
    assert type(classifier.backbone).__name__ == "GPT2Backbone"
    head = {variable.path for variable in classifier.pooler.weights}
    head |= {variable.path for variable in classifier.logits_dense.weights}
    all_paths = {variable.path for variable in classifier.trainable_weights}
    assert all_paths - head == {v.path for v in classifier.backbone.trainable_weights}

import inspect

import numpy as np

from sentiment.models.backbones.segment_layout import (
    SegmentLayout,
    segment_attention_mask,
    segment_positions,
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


def test_positions_start_in_each_segment_and_in_padding():
    found = segment_positions(np.array([[1, 1, 2, 0, 0], [1, 2, 2, 2, 2]]))
    np.testing.assert_array_equal(found, [[0, 1, 0, 0, 1], [0, 0, 1, 2, 3]])
    documented = inspect.getdoc(segment_positions)
    assert f"[1, 1, 2, 0, 0]: positions {found[0].tolist()}" in documented


def test_mask_is_as_drawn_in_its_docstring():
    mask = segment_attention_mask(np.array([[1, 1, 2, 0]]))[0]
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(mask, np.array(expected, bool))
    assert mask.dtype == bool
    documented = inspect.getdoc(segment_attention_mask)
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

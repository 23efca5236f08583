"""What makes a backbone read packed rows: segments, positions, mask.

A backbone of KerasHub's reads one text per row. Its layers accept more: a position
embedding takes `positions`, a decoder block takes an attention mask. Calling them again
with these two (see `PackedDecoder`) reads several reviews per row, shares every weight,
and leaves the backbone as it is.
"""

import jax
import jax.numpy as jnp
import keras
from keras import ops


@keras.saving.register_keras_serializable(package="sentiment")
class SegmentLayout(keras.layers.Layer):
    """Where each token of a packed row belongs, from the segments' lengths.

    Example, lengths [3, 2, 0] in a row of 6:
        segment_ids  1 1 1 2 2 0      0 is padding
        positions    0 1 2 0 1 0      restarts in each segment

    Call arguments:
        token_ids: int (batch, row_length), read for its shape alone.
        segment_lengths: int (batch, max_segments), 0 in unused slots, which
            come last.

    Returns:
        `segment_ids` and `positions`, both int32 (batch, row_length).
    """

    def call(self, token_ids, segment_lengths):
        row_length = ops.shape(token_ids)[1]
        lengths = ops.cast(segment_lengths, "int32")
        ends = ops.cumsum(lengths, axis=1)
        index = ops.arange(row_length, dtype="int32")
        # (batch, row_length, max_segments): the segment has ended before index.
        has_ended = index[None, :, None] >= ends[:, None, :]
        num_ended = ops.sum(ops.cast(has_ended, "int32"), axis=-1)
        is_token = index[None, :] < ends[:, -1:]
        starts = ops.max(ops.where(has_ended, ends[:, None, :], 0), axis=-1)
        segment_ids = ops.where(is_token, num_ended + 1, 0)
        positions = ops.where(is_token, index[None, :] - starts, 0)
        return segment_ids, positions


def segment_positions(segment_ids):
    """Places of tokens in their segments; padding counts as one segment more.

    Example, segment_ids [1, 1, 2, 0, 0]: positions [0, 1, 0, 0, 1].

    Args:
        segment_ids: int (batch, row_length).

    Returns:
        int32, like `segment_ids`.
    """
    index = jnp.broadcast_to(
        jnp.arange(segment_ids.shape[1], dtype=jnp.int32), segment_ids.shape
    )
    before = jnp.pad(segment_ids[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    starts = jnp.where(segment_ids != before, index, 0)
    return index - jax.lax.cummax(starts, axis=1)


def segment_attention_mask(segment_ids):
    """Lets tokens see their own segment only; causality is the decoder's.

    Example, segment_ids [1, 1, 2, 0]:
        1 1 0 0
        1 1 0 0
        0 0 1 0
        0 0 0 1

    Args:
        segment_ids: int (batch, row_length).

    Returns:
        bool (batch, row_length, row_length), rows are queries. Padding sees
        padding, so that no query is left without a key.
    """
    return segment_ids[:, :, None] == segment_ids[:, None, :]

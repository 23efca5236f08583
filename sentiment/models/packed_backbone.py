"""What makes a GPT-2 backbone read packed rows: segments, positions, mask.

`keras_hub.models.GPT2Backbone` reads one text per row. Its layers accept more:
the position embedding takes `positions`, the decoder blocks take an attention
mask. Calling them again with these two (see `PackedDecoder`) reads several
reviews per row, shares every weight, and leaves the backbone a plain
`GPT2Backbone`.
"""

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


def embed_tokens(backbone, token_ids, positions):
    """Token plus position embeddings, (batch, row_length, hidden_dim).

    A recurrent backbone has no positions.
    """
    tokens = backbone.token_embedding(token_ids)
    if not hasattr(backbone, "position_embedding"):
        return tokens
    return backbone.embeddings_add(
        (tokens, backbone.position_embedding(tokens, positions=positions))
    )

"""Pooling: from one hidden state per token to one vector per review.

Every layer here takes packed rows and returns a vector for each segment of
each row, computed from that segment's hidden states alone, in float32.

To add a method: write a layer with the same call arguments, enter it in
`POOLINGS`, and name it in `POOLING_NAMES` of `config/model.py`, which is what the
`--pooling` flag takes. The saved model and the tests that compare packed with
unpacked rows pick it up from `POOLINGS`.
"""

import keras
from keras import ops


def segment_membership(segment_ids, max_segments):
    """Bool (batch, max_segments, row_length): token j belongs to segment i + 1."""
    slots = ops.arange(1, max_segments + 1, dtype="int32")
    return segment_ids[:, None, :] == slots[None, :, None]


def segment_starts(segment_ids):
    """Bool (batch, row_length), true at the first token of each segment."""
    previous = ops.pad(segment_ids[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    return segment_ids != previous


def pool_last(hidden_states, segment_lengths):
    """Each segment's last hidden state, (batch, max_segments, hidden_dim)."""
    last = ops.maximum(ops.cumsum(segment_lengths, axis=1) - 1, 0)
    return ops.take_along_axis(hidden_states, last[:, :, None], axis=1)


def pool_first(hidden_states, segment_lengths):
    """Each segment's first hidden state, (batch, max_segments, hidden_dim)."""
    first = ops.cumsum(segment_lengths, axis=1) - segment_lengths
    # After a full row there is no token that an unused slot could read.
    first = ops.minimum(first, ops.shape(hidden_states)[1] - 1)
    return ops.take_along_axis(hidden_states, first[:, :, None], axis=1)


def pool_mean(hidden_states, segment_ids, segment_lengths):
    """Each segment's mean hidden state, (batch, max_segments, hidden_dim)."""
    member = segment_membership(segment_ids, ops.shape(segment_lengths)[1])
    total = ops.matmul(ops.cast(member, hidden_states.dtype), hidden_states)
    count = ops.maximum(ops.cast(segment_lengths, hidden_states.dtype), 1)
    return total / count[:, :, None]


def pool_max(hidden_states, segment_ids, segment_lengths):
    """Each segment's greatest value per feature, (batch, max_segments, hidden_dim).

    A running maximum that restarts at each segment, read at the last token.
    `segment_max` would do, but JAX cannot differentiate its scatter.
    """
    starts = segment_starts(segment_ids)[:, :, None]
    starts = ops.broadcast_to(starts, ops.shape(hidden_states))

    def combine(left, right):
        left_start, left_max = left
        right_start, right_max = right
        maximum = ops.where(right_start, right_max, ops.maximum(left_max, right_max))
        return ops.logical_or(left_start, right_start), maximum

    _, running = ops.associative_scan(combine, (starts, hidden_states), axis=1)
    return pool_last(running, segment_lengths)


class SegmentPooling(keras.layers.Layer):
    """Base class of the pooling layers.

    Call arguments:
        hidden_states: float (batch, row_length, hidden_dim).
        segment_ids: int (batch, row_length), 0 is padding.
        segment_lengths: int (batch, max_segments), 0 in unused slots.

    Returns:
        float32 (batch, max_segments, features), features being `hidden_dim`
        times `width`; finite, but without meaning, in unused slots.

    Attributes:
        width: int, features for each dimension of the hidden states.
        reads: the hidden states that are read of each segment: "all", its "first" or
            its "last", so that the last block need not compute others.
    """

    width = 1
    reads = "all"

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, hidden_states_shape, *_):
        """Nothing to build, unless a subclass has weights."""

    def compute_output_spec(self, hidden_states, segment_ids, segment_lengths):
        shape = (*segment_lengths.shape, hidden_states.shape[-1] * self.width)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


class LastTokenPooling(SegmentPooling):
    """The hidden state of the segment's last token, the end token.

    What GPT-1 does (Radford et al. 2018): in a causal model it is the only
    position that has read the whole review.
    """

    reads = "last"

    def call(self, hidden_states, segment_ids, segment_lengths):
        return pool_last(hidden_states, segment_lengths)


class FirstTokenPooling(SegmentPooling):
    """The hidden state of the segment's first token, an encoder's `[CLS]`.

    What BERT does (Devlin et al. 2019). Not for a causal model, whose first token has
    read nothing else.
    """

    reads = "first"

    def call(self, hidden_states, segment_ids, segment_lengths):
        return pool_first(hidden_states, segment_lengths)


class MeanPooling(SegmentPooling):
    """The mean of the segment's hidden states."""

    def call(self, hidden_states, segment_ids, segment_lengths):
        return pool_mean(hidden_states, segment_ids, segment_lengths)


class MaxPooling(SegmentPooling):
    """The maximum of each feature over the segment's hidden states."""

    def call(self, hidden_states, segment_ids, segment_lengths):
        return pool_max(hidden_states, segment_ids, segment_lengths)


class ConcatPooling(SegmentPooling):
    """Last, mean and max pooling side by side (ULMFiT, Howard & Ruder 2018)."""

    width = 3

    def call(self, hidden_states, segment_ids, segment_lengths):
        parts = [
            pool_last(hidden_states, segment_lengths),
            pool_mean(hidden_states, segment_ids, segment_lengths),
            pool_max(hidden_states, segment_ids, segment_lengths),
        ]
        return ops.concatenate(parts, axis=-1)


class AttentionPooling(SegmentPooling):
    """A learned weighted mean of the segment's hidden states.

    The weights are the softmax, over the segment, of v . tanh(W h + b) (Yang
    et al. 2016, "Hierarchical Attention Networks", equations 5 to 7).
    """

    def build(self, hidden_states_shape, *_):
        hidden_dim = hidden_states_shape[-1]
        self.projection = keras.layers.Dense(
            hidden_dim, activation="tanh", dtype=self.dtype_policy, name="projection"
        )
        self.score = keras.layers.Dense(
            1, use_bias=False, dtype=self.dtype_policy, name="score"
        )
        self.projection.build(hidden_states_shape)
        self.score.build(hidden_states_shape)

    def call(self, hidden_states, segment_ids, segment_lengths):
        member = segment_membership(segment_ids, ops.shape(segment_lengths)[1])
        scores = self.score(self.projection(hidden_states))[:, None, :, 0]
        # A finite stand-in for -inf keeps unused slots, where nothing is a
        # member, free of NaN in value and gradient.
        weights = ops.softmax(ops.where(member, scores, -1e9), axis=-1)
        return ops.matmul(weights, hidden_states)


class ResettingCell(keras.layers.Layer):
    """A recurrent cell that forgets at each segment start.

    Keras masks hold an RNN's state but cannot reset it, so the flag travels as
    the last input feature: 1 there zeroes the state before the step.
    """

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size = cell.state_size
        self.output_size = cell.output_size

    def build(self, input_shape):
        self.cell.build((*input_shape[:-1], input_shape[-1] - 1))

    def call(self, inputs, states, training=None):
        keep = 1.0 - inputs[:, -1:]
        states = [state * keep for state in states]
        return self.cell(inputs[:, :-1], states, training=training)


class RecurrentPooling(SegmentPooling):
    """The last output of a recurrent layer that reads the hidden states.

    Args:
        cell_class: `keras.layers.SimpleRNNCell`, `GRUCell` or `LSTMCell`, of
            the backbone's width.
    """

    def __init__(self, cell_class, **kwargs):
        super().__init__(**kwargs)
        self.cell_class = cell_class

    def build(self, hidden_states_shape, *_):
        *batch, hidden_dim = hidden_states_shape
        cell = self.cell_class(hidden_dim, dtype=self.dtype_policy, name="cell")
        self.recurrent = keras.layers.RNN(
            ResettingCell(cell, dtype=self.dtype_policy, name="resetting_cell"),
            return_sequences=True,
            dtype=self.dtype_policy,
            name="recurrent",
        )
        self.recurrent.build((*batch, hidden_dim + 1))

    def call(self, hidden_states, segment_ids, segment_lengths):
        starts = ops.cast(segment_starts(segment_ids), "float32")[:, :, None]
        outputs = self.recurrent(ops.concatenate([hidden_states, starts], axis=-1))
        return pool_last(outputs, segment_lengths)


POOLINGS = {
    "last": LastTokenPooling,
    "cls": FirstTokenPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
    "concat": ConcatPooling,
    "rnn": lambda **kwargs: RecurrentPooling(keras.layers.SimpleRNNCell, **kwargs),
    "gru": lambda **kwargs: RecurrentPooling(keras.layers.GRUCell, **kwargs),
    "lstm": lambda **kwargs: RecurrentPooling(keras.layers.LSTMCell, **kwargs),
}

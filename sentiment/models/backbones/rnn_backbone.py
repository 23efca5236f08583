"""A recurrent backbone in the form of the GPT-2 one."""

import jax
import jax.numpy as jnp
import keras
import keras_hub
from keras import ops

from sentiment.errors import InputError
from sentiment.models.backbones.packed_layers import PackedLayers
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.pooling import segment_starts

SCAN_UNROLL = 4  # steps of the recurrence in one turn of the compiled loop
NO_LIMIT = 1 << 20  # tokens: there is no position table that could end


def _rnn_step(states, projected, kernel, bias):
    (hidden,) = states
    hidden = jnp.tanh(projected + hidden @ kernel + bias)
    return (hidden,)


def _gru_step(states, projected, kernel, bias):
    (hidden,) = states
    update, reset, candidate = jnp.split(projected, 3, axis=-1)
    of_update, of_reset, of_candidate = jnp.split(hidden @ kernel + bias, 3, axis=-1)
    update = jax.nn.sigmoid(update + of_update)
    reset = jax.nn.sigmoid(reset + of_reset)
    candidate = jnp.tanh(candidate + reset * of_candidate)
    return (update * hidden + (1 - update) * candidate,)


def _lstm_step(states, projected, kernel, bias):
    hidden, memory = states
    gates = projected + hidden @ kernel + bias
    into, forget, candidate, out = jnp.split(gates, 4, axis=-1)
    memory = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(into) * jnp.tanh(
        candidate
    )
    return jax.nn.sigmoid(out) * jnp.tanh(memory), memory


# Step, gates and states of each cell.
CELLS = {"rnn": (_rnn_step, 1, 1), "gru": (_gru_step, 3, 1), "lstm": (_lstm_step, 4, 2)}


@keras.saving.register_keras_serializable(package="sentiment")
class SegmentRecurrence(keras.layers.Layer):
    """A recurrent layer over packed rows; its state is zero at each segment start.

    The cells are those of `keras.layers.SimpleRNN`, `GRU` (with `reset_after`) and
    `LSTM`, with their weights in the same order. Unlike there, the inputs of all
    steps are projected in one product, and only the recurrence goes step by step.

    Args:
        units: width of input and output.
        cell: `rnn`, `gru` or `lstm`.

    Call arguments:
        inputs: float (batch, row_length, units).
        starts: bool (batch, row_length), true where a segment starts.

    Returns:
        Like `inputs`.
    """

    def __init__(self, units, cell, **kwargs):
        super().__init__(**kwargs)
        self.units, self.cell = units, cell
        self._step, self._num_gates, self._num_states = CELLS[cell]

    def build(self, input_shape, *_):
        width = self._num_gates * self.units
        self.kernel = self.add_weight(
            (input_shape[-1], width), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            (self.units, width), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(
            (2, width) if self.cell == "gru" else (width,),
            initializer=self._initial_bias,
            name="bias",
        )

    def _initial_bias(self, shape, dtype):
        if self.cell != "lstm":
            return ops.zeros(shape, dtype)
        # The forget gate is open at first (Jozefowicz et al. 2015).
        is_forget = ops.arange(shape[0]) // self.units == 1
        return ops.cast(is_forget, dtype)

    def call(self, inputs, starts):
        # Keras's GRU has two biases: on the input, and inside the reset.
        bias = ops.convert_to_tensor(self.bias)
        of_input, of_step = bias if self.cell == "gru" else (bias, jnp.zeros_like(bias))
        projected = ops.matmul(inputs, self.kernel) + of_input
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        keep = 1 - ops.cast(starts, inputs.dtype)[:, :, None]

        def step(states, at):
            projected, keep = at
            states = tuple(state * keep for state in states)
            states = self._step(states, projected, kernel, of_step)
            return states, states[0]

        zero = jnp.zeros((inputs.shape[0], self.units), inputs.dtype)
        over_time = (jnp.swapaxes(projected, 0, 1), jnp.swapaxes(keep, 0, 1))
        states = (zero,) * self._num_states
        _, outputs = jax.lax.scan(step, states, over_time, unroll=SCAN_UNROLL)
        return jnp.swapaxes(outputs, 0, 1)

    def compute_output_spec(self, inputs, starts):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "cell": self.cell}


@keras.saving.register_keras_serializable(package="sentiment")
class RNNBackbone(keras_hub.models.Backbone):
    """Token embedding and recurrent layers: one hidden state per token.

    The backbone of recurrent language models (Dai & Le 2015,
    https://arxiv.org/abs/1511.01432). Called as it is, it reads one text per row;
    `PackedRecurrence` calls its layers over packed rows.

    Args:
        vocabulary_size: int, tokens.
        num_layers: int, recurrent layers.
        hidden_dim: int, width of embedding and layers.
        cell: `rnn`, `gru` or `lstm`.
        dropout: float in [0, 1), after the embedding and after each layer.

    Inputs:
        token_ids: int (batch, length).
        padding_mask: int (batch, length), 0 is padding; padding comes last, and no
            token before it depends on it.

    Returns:
        float (batch, length, hidden_dim).
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        hidden_dim,
        cell="lstm",
        dropout=0.1,
        dtype=None,
        **kwargs,
    ):
        if cell not in CELLS:
            raise InputError(
                f"cell must be one of {', '.join(CELLS)}. Received: {cell!r}."
            )

        # === Layers ===
        self.token_embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype=dtype,
            name="token_embedding",
        )
        self.recurrent_layers = [
            SegmentRecurrence(
                hidden_dim, cell, dtype=dtype, name=f"recurrent_layer_{i}"
            )
            for i in range(num_layers)
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout, dtype=dtype, name=f"dropout_{i}")
            for i in range(num_layers + 1)
        ]

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        segment_ids = ops.ones_like(padding_mask)
        embeddings = self.token_embedding(token_ids)
        outputs = recur(self, embeddings, segment_ids)
        super().__init__(
            inputs={"token_ids": token_ids, "padding_mask": padding_mask},
            outputs=outputs,
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.cell = cell
        self.dropout = dropout
        self.max_sequence_length = NO_LIMIT

    @property
    def intermediate_dim(self) -> int:
        """Width from which the cost of a layer is estimated, as for GPT-2."""
        return self.hidden_dim

    def get_config(self):
        config = super().get_config()
        config.update(
            vocabulary_size=self.vocabulary_size,
            num_layers=self.num_layers,
            hidden_dim=self.hidden_dim,
            cell=self.cell,
            dropout=self.dropout,
        )
        return config


@keras.saving.register_keras_serializable(package="sentiment")
class RNNTokenizer(ByteLevelGPT2Tokenizer):
    """The same tokenizer, as KerasHub looks for it beside an `RNNBackbone`."""

    backbone_cls = RNNBackbone


def recur(backbone, embeddings, segment_ids, training=None):
    """The backbone's layers above its embedding, over packed rows.

    Args:
        backbone: an `RNNBackbone`.
        embeddings: float (batch, row_length, hidden_dim).
        segment_ids: int (batch, row_length), 0 is padding.
        training: whether dropout is on.

    Returns:
        float (batch, row_length, hidden_dim).
    """
    starts = segment_starts(segment_ids)
    x = backbone.dropouts[0](embeddings, training=training)
    for layer, dropout in zip(
        backbone.recurrent_layers, backbone.dropouts[1:], strict=True
    ):
        x = dropout(layer(x, starts), training=training)
    return x


@keras.saving.register_keras_serializable(package="sentiment")
class PackedRecurrence(PackedLayers):
    """A recurrent backbone's layers over packed rows; see `PackedLayers`.

    There are no fast paths to choose, and no state that could be left out.
    """

    def call(self, embeddings, segment_ids, segment_lengths, training=False):
        return recur(self.backbone, embeddings, segment_ids, training)

"""ModernBERT's backbone, which KerasHub lacks."""

import keras
import keras_hub
from keras import ops

from sentiment.errors import InputError

LAYER_TYPES = ("full_attention", "sliding_attention")


@keras.saving.register_keras_serializable(package="sentiment")
class ModernBertBlock(keras.layers.Layer):
    """Attention with rotary positions, then a gated feed-forward layer; no biases.

    Args:
        num_heads: int, attention heads.
        intermediate_dim: int, width of the feed-forward layers.
        window: int, tokens that one sees to a side, itself included; `None`: all.
        wavelength: float, the longest of the rotary positions.
        has_attention_norm: whether attention reads what a norm makes of its input; the
            first block reads the embeddings' norm.
        dropout: float in [0, 1), after attention and inside the feed-forward layers.
        layer_norm_epsilon: float.

    Call arguments:
        inputs: float (batch, length, hidden_dim).
        attention_mask: bool (batch, length, length), rows are queries.

    Returns:
        Like `inputs`.
    """

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        window=None,
        wavelength=10_000.0,
        has_attention_norm=True,
        dropout=0.0,
        layer_norm_epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.window = window
        self.wavelength = wavelength
        self.has_attention_norm = has_attention_norm
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, input_shape, *_):
        hidden_dim = input_shape[-1]
        heads = (self.num_heads, hidden_dim // self.num_heads)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        common = {"kernel_initializer": initializer, "dtype": self.dtype_policy}
        self.query, self.key, self.value = (
            keras.layers.EinsumDense(
                "abc,cde->abde", (None, *heads), name=name, **common
            )
            for name in ("query", "key", "value")
        )
        self.attention_output = keras.layers.EinsumDense(
            "abde,dec->abc", (None, hidden_dim), name="attention_output", **common
        )
        self.gate, self.intermediate = (
            keras.layers.Dense(
                self.intermediate_dim, use_bias=False, name=name, **common
            )
            for name in ("gate", "intermediate")
        )
        self.feedforward_output = keras.layers.Dense(
            hidden_dim, use_bias=False, name="feedforward_output", **common
        )
        self.attention_norm, self.feedforward_norm = (
            keras.layers.LayerNormalization(
                epsilon=self.layer_norm_epsilon,
                center=False,
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("attention_norm", "feedforward_norm")
        )
        self.rotary_embedding = keras_hub.layers.RotaryEmbedding(
            self.wavelength, dtype=self.dtype_policy, name="rotary_embedding"
        )
        self.attention_dropout, self.feedforward_dropout = (
            keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name=name)
            for name in ("attention_dropout", "feedforward_dropout")
        )
        inner_shape = (*input_shape[:-1], self.intermediate_dim)
        for layer in (self.query, self.key, self.value, self.gate, self.intermediate):
            layer.build(input_shape)
        self.attention_output.build((*input_shape[:-1], *heads))
        self.feedforward_output.build(inner_shape)
        self.feedforward_norm.build(input_shape)
        if self.has_attention_norm:
            self.attention_norm.build(input_shape)

    def project(self, x, positions=None):
        """Query, scaled, key and value, float (batch, length, heads, head_dim).

        Args:
            x: float (batch, length, hidden_dim).
            positions: int (batch, length); `None`: 0 at the start of each row.
        """
        if self.has_attention_norm:
            x = self.attention_norm(x)
        query, key = (
            self.rotary_embedding(layer(x), positions=positions)
            for layer in (self.query, self.key)
        )
        head_dim = self.query.kernel.shape[-1]
        return query * head_dim**-0.5, key, self.value(x)

    def feed_forward(self, x, attended, drop):
        """The result, of what was read and of what attention gave.

        Args:
            x: float (batch, length, hidden_dim).
            attended: float (batch, length, heads, head_dim).
            drop: `drop(layer, x)` is what a dropout layer makes of x.
        """
        x = x + drop(self.attention_dropout, self.attention_output(attended))
        inner = self.feedforward_norm(x)
        gate = ops.gelu(self.gate(inner), approximate=False)
        inner = drop(self.feedforward_dropout, gate * self.intermediate(inner))
        return x + self.feedforward_output(inner)

    def call(self, inputs, attention_mask, training=None):
        query, key, value = self.project(inputs)
        if self.window is not None:
            places = ops.arange(ops.shape(inputs)[1])
            distances = ops.abs(places[:, None] - places[None, :])
            attention_mask = ops.logical_and(attention_mask, distances < self.window)
        scores = ops.cast(ops.einsum("bqnh,bknh->bnqk", query, key), "float32")
        scores = ops.where(attention_mask[:, None], scores, -1e9)
        weights = ops.cast(ops.softmax(scores), value.dtype)
        attended = ops.einsum("bnqk,bknh->bqnh", weights, value)
        return self.feed_forward(
            inputs, attended, lambda layer, x: layer(x, training=training)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "window": self.window,
            "wavelength": self.wavelength,
            "has_attention_norm": self.has_attention_norm,
            "dropout": self.dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }


@keras.saving.register_keras_serializable(package="sentiment")
class ModernBertBackbone(keras_hub.models.Backbone):
    """ModernBERT's encoder (Warner et al. 2024, https://arxiv.org/abs/2412.13663).

    Args:
        vocabulary_size: int, tokens.
        num_layers: int, blocks.
        num_heads: int, attention heads.
        hidden_dim: int, width.
        intermediate_dim: int, width of the gated feed-forward layers.
        layer_types: for each block one of `full_attention` and `sliding_attention`; by
            default every third, from the first on, sees the whole text.
        sliding_window: int, tokens to each side that the others see.
        global_wavelength: float, the longest of rotary positions over whole texts.
        local_wavelength: float, the same in windows.
        dropout: float in [0, 1).
        layer_norm_epsilon: float.

    Inputs:
        token_ids: int (batch, length).
        padding_mask: int (batch, length), 0 is padding.

    Returns:
        float (batch, length, hidden_dim).

    Raises:
        InputError: `layer_types` are other than described.
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        layer_types=None,
        sliding_window=64,
        global_wavelength=160_000.0,
        local_wavelength=10_000.0,
        dropout=0.0,
        layer_norm_epsilon=1e-5,
        dtype=None,
        **kwargs,
    ):
        if layer_types is None:
            layer_types = [LAYER_TYPES[i % 3 > 0] for i in range(num_layers)]
        if len(layer_types) != num_layers or not set(layer_types) <= set(LAYER_TYPES):
            raise InputError(
                f"layer_types must name {' or '.join(LAYER_TYPES)} for each of "
                f"{num_layers} layers. Received: {layer_types}."
            )

        # === Layers ===
        self.token_embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=dtype,
            name="token_embedding",
        )
        self.embeddings_layer_norm, self.layer_norm = (
            keras.layers.LayerNormalization(
                epsilon=layer_norm_epsilon, center=False, dtype=dtype, name=name
            )
            for name in ("embeddings_layer_norm", "layer_norm")
        )
        self.embeddings_dropout = keras.layers.Dropout(
            dropout, dtype=dtype, name="embeddings_dropout"
        )
        self.transformer_layers = []
        for i, layer_type in enumerate(layer_types):
            is_local = layer_type == "sliding_attention"
            block = ModernBertBlock(
                num_heads,
                intermediate_dim,
                window=sliding_window + 1 if is_local else None,
                wavelength=local_wavelength if is_local else global_wavelength,
                has_attention_norm=i > 0,
                dropout=dropout,
                layer_norm_epsilon=layer_norm_epsilon,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            self.transformer_layers.append(block)

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        x = self.embeddings_layer_norm(self.token_embedding(token_ids))
        x = self.embeddings_dropout(x)
        attention_mask = ops.equal(padding_mask[:, :, None], padding_mask[:, None, :])
        for block in self.transformer_layers:
            x = block(x, attention_mask)
        super().__init__(
            inputs={"token_ids": token_ids, "padding_mask": padding_mask},
            outputs=self.layer_norm(x),
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.layer_types = list(layer_types)
        self.sliding_window = sliding_window
        self.global_wavelength = global_wavelength
        self.local_wavelength = local_wavelength
        self.dropout = dropout
        self.layer_norm_epsilon = layer_norm_epsilon

    def get_config(self):
        names = (
            "vocabulary_size",
            "num_layers",
            "num_heads",
            "hidden_dim",
            "intermediate_dim",
            "layer_types",
            "sliding_window",
            "global_wavelength",
            "local_wavelength",
            "dropout",
            "layer_norm_epsilon",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

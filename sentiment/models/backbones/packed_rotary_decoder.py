"""Blocks of decoders with rotary positions, over packed rows."""

import keras
from keras import ops

from sentiment.models.backbones.packed_transformer import PackedTransformer


@keras.saving.register_keras_serializable(package="sentiment")
class PackedRotaryDecoder(PackedTransformer):
    """The layers of a Llama-like decoder over packed rows; see `PackedTransformer`.

    Queries and keys are turned by their places in their own segment. Blocks as they
    are turn them by their places in the row, which comes to the same but for rounding:
    an angle between two tokens depends on their distance alone (Su et al. 2021,
    https://arxiv.org/abs/2104.09864).
    """

    is_causal = True

    def enter(self, embeddings, drop):
        return embeddings

    def leave(self, x):
        return self.backbone.layer_norm(x)

    def call_stock_block(self, block, x, mask, shared, training):
        return block(x, decoder_attention_mask=mask, training=training)

    def project(self, block, x, positions):
        attention = block._self_attention_layer
        x = block._self_attention_layernorm(x)
        query, key = attention._query_dense(x), attention._key_dense(x)
        if hasattr(attention, "_query_dense_layer_norm"):  # Qwen3's
            query = attention._query_dense_layer_norm(query)
            key = attention._key_dense_layer_norm(key)
        turn = attention.rotary_embedding_layer
        query = turn(query, positions=positions) * attention._inv_norm_factor
        key = turn(key, positions=positions)
        return share_heads(query, key, attention._value_dense(x))

    def window(self, block):
        names = ("sliding_window", "sliding_window_size")  # Mistral's and Qwen3's
        return next((x for name in names if (x := getattr(block, name, None))), None)

    def weights_dropout(self, block, weights, drop):
        """None: KerasHub's blocks keep their weights, too."""
        return weights

    def feed_forward(self, block, x, attended, drop):
        attended = block._self_attention_layer._output_dense(attended)
        x = x + drop(block._self_attention_dropout, attended)
        inner = block._feedforward_layernorm(x)
        gate = ops.cast(block._feedforward_gate_dense(inner), "float32")
        gate = ops.cast(block.activation(gate), inner.dtype)
        inner = block._feedforward_intermediate_dense(inner) * gate
        return x + block._feedforward_output_dense(inner)


def share_heads(query, key, value):
    """As many heads of keys and values as of queries, each for some of these.

    Args:
        query: float (batch, tokens, heads, head_dim).
        key: the same with fewer heads (Ainslie et al. 2023,
            https://arxiv.org/abs/2305.13245).
        value: like `key`.
    """
    groups = query.shape[2] // key.shape[2]
    if groups == 1:
        return query, key, value
    return query, ops.repeat(key, groups, axis=2), ops.repeat(value, groups, axis=2)

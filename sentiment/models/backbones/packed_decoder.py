"""GPT-2's decoder blocks over packed rows."""

import itertools

import jax
import jax.numpy as jnp
import keras

from sentiment.models.backbones.packed_layers import PackedLayers
from sentiment.models.backbones.segment_layout import segment_attention_mask
from sentiment.models.hash_dropout import hash_dropout
from sentiment.models.pooling import pool_last
from sentiment.models.segment_attention import (
    CHUNK_LENGTH,
    causal_segment_attention,
    segment_end_attention,
)


@keras.saving.register_keras_serializable(package="sentiment")
class PackedDecoder(PackedLayers):
    """GPT-2's own layers over packed rows.

    `keras_hub.layers.TransformerDecoder` attends over the full square of a row
    and draws dropout masks from threefry. Here its sublayers (norms, projections,
    feed-forward) are called one by one with an attention and a dropout that are
    made for packed rows; weights, LoRA, quantisation and dtypes stay theirs. With
    every fast path of `speed` switched off, its blocks are called as they are.

    Where only last states are read, the last block is computed there alone. See
    `PackedLayers` for the arguments.
    """

    def __init__(self, backbone, reads_last=False, **kwargs):
        super().__init__(backbone, reads_last, **kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, embeddings, segment_ids, segment_lengths, training=False):
        speed, blocks = self.speed, self.backbone.transformer_layers
        if not (speed.chunked_attention or speed.hash_dropout or speed.skip_unread):
            return self._call_stock_blocks(embeddings, segment_ids, training)
        drop = self._dropout(training)
        x = drop(self.backbone.embeddings_dropout, embeddings)
        for block in blocks[:-1]:
            x = self._run(_causal_block, block, x, segment_ids, drop)
        if self.reads_last and speed.skip_unread:
            x = self._run(_end_block, blocks[-1], x, segment_ids, drop, segment_lengths)
        else:
            x = self._run(_causal_block, blocks[-1], x, segment_ids, drop)
        return self.backbone.layer_norm(x)

    def _call_stock_blocks(self, embeddings, segment_ids, training):
        x = self.backbone.embeddings_dropout(embeddings, training=training)
        mask = segment_attention_mask(segment_ids)
        for block in self.backbone.transformer_layers:
            x = block(x, decoder_attention_mask=mask, training=training)
        return self.backbone.layer_norm(x)

    def _run(self, function, block, x, segment_ids, drop, *arguments):
        chunk_length = CHUNK_LENGTH if self.speed.chunked_attention else None

        def run(x):
            return function(block, x, segment_ids, drop, chunk_length, *arguments)

        return jax.checkpoint(run)(x) if self.speed.remat else run(x)

    def _dropout(self, training):
        """A function that applies a backbone's dropout layer, or its like."""
        if not training:
            return lambda layer, x: x
        if not self.speed.hash_dropout:
            return lambda layer, x: layer(x, training=True)
        seed = self.seed_generator.next()
        site = itertools.count()
        return lambda layer, x: hash_dropout(x, layer.rate, seed, next(site))


def _causal_block(block, x, segment_ids, drop, chunk_length):
    """A pre-norm decoder block, as `TransformerDecoder.call` composes it."""
    query, key, value = _project(block, x)
    attended = causal_segment_attention(
        query, key, value, segment_ids, chunk_length, _weights_dropout(block, drop)
    )
    return _feed_forward(block, x, attended, drop)


def _end_block(block, x, segment_ids, drop, chunk_length, segment_lengths):
    """The same, computed at the last token of each segment alone."""
    max_segments = segment_lengths.shape[1]
    _, key, value = _project(block, x)
    ends = pool_last(x, segment_lengths)
    query, _, _ = _project(block, ends)
    attended = segment_end_attention(
        query, key, value, segment_ids, _weights_dropout(block, drop)
    )
    states = _feed_forward(block, ends, attended, drop)
    # Back to where the tokens were; every token reads its segment's state.
    slot = jnp.clip(segment_ids - 1, 0, max_segments - 1)
    return jnp.take_along_axis(states, slot[:, :, None], axis=1)


def _project(block, x):
    attention = block._self_attention_layer
    normed = block._self_attention_layer_norm(x)
    query = attention.query_dense(normed) * attention._inverse_sqrt_key_dim
    return query, attention.key_dense(normed), attention.value_dense(normed)


def _weights_dropout(block, drop):
    return lambda weights: drop(block._self_attention_layer._dropout_layer, weights)


def _feed_forward(block, x, attended, drop):
    attended = block._self_attention_layer.output_dense(attended)
    x = x + drop(block._self_attention_dropout, attended)
    inner = block._feedforward_intermediate_dense(block._feedforward_layer_norm(x))
    inner = block._feedforward_output_dense(inner)
    return x + drop(block._feedforward_dropout, inner)

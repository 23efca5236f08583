"""KerasHub's transformer blocks over packed rows."""

import itertools

import jax
import jax.numpy as jnp
import keras

from sentiment.models.backbones.packed_layers import PackedLayers
from sentiment.models.backbones.segment_layout import (
    segment_attention_mask,
    segment_positions,
)
from sentiment.models.hash_dropout import hash_dropout
from sentiment.models.pooling import pool_first, pool_last
from sentiment.models.segment_attention import (
    CHUNK_LENGTH,
    segment_attention,
    segment_query_attention,
)


class PackedTransformer(PackedLayers):
    """A transformer's own layers over packed rows.

    `keras_hub.layers.TransformerEncoder` and `TransformerDecoder` attend over the full
    square of a row and draw dropout masks from threefry. Here their sublayers (norms,
    projections, feed-forward) are called one by one with an attention and a dropout
    that are made for packed rows; weights, LoRA, quantisation and dtypes stay theirs.
    With every fast path of `speed` switched off, blocks are called as they are.

    Where only first or last states are read, the last block is computed there alone.
    See `PackedLayers` for the arguments. Blocks of another make override `project`,
    `weights_dropout`, `attention_output` and `feed_forward`, those that look at
    distances `relative_scores`.
    """

    is_causal: bool
    can_skip_unread = True

    def __init__(self, backbone, reads="all", **kwargs):
        super().__init__(backbone, reads, **kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def blocks(self) -> list:
        """In the order in which they are called; one may come several times."""
        return self.backbone.transformer_layers

    def enter(self, embeddings, drop):
        """What the lowest block reads.

        Args:
            embeddings: as of the call.
            drop: `drop(layer, x)` is what a dropout layer makes of x.
        """
        raise NotImplementedError

    def leave(self, x):
        """The result, of what the highest block gives."""
        raise NotImplementedError

    def call_stock_block(self, block, x, mask, shared, training):
        """Calls a block as it is.

        Args:
            block: one of the backbone's.
            x: what it reads.
            mask: bool (batch, row_length, row_length), rows are queries.
            shared: as `shared` gives it.
            training: whether dropout is on.
        """
        raise NotImplementedError

    def project(self, block, x, positions):
        """Query, key and value, float (batch, tokens, heads, head_dim).

        Args:
            block: one of the backbone's.
            x: float (batch, tokens, hidden_dim), what the block reads.
            positions: int (batch, tokens), 0 at the start of each segment.
        """
        attention = block._self_attention_layer
        if block.normalize_first:
            x = block._self_attention_layer_norm(x)
        query = attention.query_dense(x) * attention._inverse_sqrt_key_dim
        return query, attention.key_dense(x), attention.value_dense(x)

    def window(self, block) -> int | None:
        """Tokens that one sees at most to a side, itself included; `None`: all."""
        return None

    def weights_dropout(self, block, weights, drop):
        """What dropout makes of the weights of attention."""
        return drop(block._self_attention_layer._dropout_layer, weights)

    def shared(self, x, segment_ids, drop):
        """What all blocks read beside their input; `None`: nothing.

        Args:
            x: what the lowest block reads.
            segment_ids: int (batch, row_length).
            drop: as of `enter`.
        """
        return None

    def relative_scores(self, block, query, key, shared, drop):
        """What distances add to the scores; `None`: nothing.

        Where they do, `can_skip_unread` must be off: the last block is then computed at
        all tokens.

        Args:
            block: one of the backbone's.
            query: as `project` gives it.
            key: as `project` gives it.
            shared: as `shared` gives it.
            drop: as of `enter`.

        Returns:
            `more_scores` of `segment_attention`.
        """
        return None

    def normalizes_first(self, block) -> bool:
        """Whether norms come before attention and feed-forward layers, or after."""
        return block.normalize_first

    def attention_output(self, block, attended):
        """The projection of what heads have read, float (batch, tokens, hidden_dim)."""
        return block._self_attention_layer.output_dense(attended)

    def feed_forward(self, block, x, attended, drop):
        """What a block makes of what it has read and of what attention gave."""
        is_first = self.normalizes_first(block)
        attended = self.attention_output(block, attended)
        x = x + drop(block._self_attention_dropout, attended)
        if not is_first:
            x = block._self_attention_layer_norm(x)
        inner = block._feedforward_layer_norm(x) if is_first else x
        inner = block._feedforward_intermediate_dense(inner)
        inner = block._feedforward_output_dense(inner)
        x = x + drop(block._feedforward_dropout, inner)
        return x if is_first else block._feedforward_layer_norm(x)

    def call(self, embeddings, segment_ids, segment_lengths, training=False):
        speed, blocks = self.speed, self.blocks()
        if not (speed.chunked_attention or speed.hash_dropout or speed.skip_unread):
            return self._call_stock_blocks(embeddings, segment_ids, training)
        drop = self._dropout(training)
        x = self.enter(embeddings, drop)
        shared = self.shared(x, segment_ids, drop)
        for block in blocks[:-1]:
            x = self._run(self._block, block, x, segment_ids, drop, shared)
        if self.reads != "all" and speed.skip_unread and self.can_skip_unread:
            x = self._run(
                self._read_block, blocks[-1], x, segment_ids, drop, segment_lengths
            )
        else:
            x = self._run(self._block, blocks[-1], x, segment_ids, drop, shared)
        return self.leave(x)

    def _call_stock_blocks(self, embeddings, segment_ids, training):
        def drop(layer, x):
            return layer(x, training=training)

        x = self.enter(embeddings, drop)
        shared = self.shared(x, segment_ids, drop)
        mask = segment_attention_mask(segment_ids)
        for block in self.blocks():
            x = self.call_stock_block(block, x, mask, shared, training)
        return self.leave(x)

    def _run(self, function, block, x, segment_ids, drop, *arguments):
        def run(x):
            return function(block, x, segment_ids, drop, *arguments)

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

    def _block(self, block, x, segment_ids, drop, shared):
        """A block, as its own `call` has it."""
        query, key, value = self.project(block, x, segment_positions(segment_ids))
        attended = segment_attention(
            query,
            key,
            value,
            segment_ids,
            self.is_causal,
            chunk_length=CHUNK_LENGTH if self.speed.chunked_attention else None,
            drop=lambda weights: self.weights_dropout(block, weights, drop),
            window=self.window(block),
            more_scores=self.relative_scores(block, query, key, shared, drop),
        )
        return self.feed_forward(block, x, attended, drop)

    def _read_block(self, block, x, segment_ids, drop, segment_lengths):
        """The same, computed at the token alone that is read of each segment."""
        positions = segment_positions(segment_ids)
        _, key, value = self.project(block, x, positions)
        pool = {"first": pool_first, "last": pool_last}[self.reads]
        read = pool(x, segment_lengths)
        place = pool(positions[:, :, None], segment_lengths)[:, :, 0]
        query, _, _ = self.project(block, read, place)
        attended = segment_query_attention(
            query,
            key,
            value,
            segment_ids,
            lambda weights: self.weights_dropout(block, weights, drop),
            self.window(block),
            self.reads == "first",
        )
        states = self.feed_forward(block, read, attended, drop)
        # Back to where the tokens were; every token reads its segment's state.
        slot = jnp.clip(segment_ids - 1, 0, segment_lengths.shape[1] - 1)
        return jnp.take_along_axis(states, slot[:, :, None], axis=1)

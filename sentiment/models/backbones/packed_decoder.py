"""Decoder blocks over packed rows."""

import keras

from sentiment.models.backbones.packed_transformer import PackedTransformer


@keras.saving.register_keras_serializable(package="sentiment")
class PackedDecoder(PackedTransformer):
    """The layers of a GPT-2-like decoder over packed rows; see `PackedTransformer`."""

    is_causal = True

    def enter(self, embeddings, drop):
        layer = getattr(self.backbone, "embeddings_dropout", None)  # OPT has none.
        return embeddings if layer is None else drop(layer, embeddings)

    def leave(self, x):
        return self.backbone.layer_norm(x)

    def call_stock_block(self, block, x, mask, shared, training):
        return block(x, decoder_attention_mask=mask, training=training)

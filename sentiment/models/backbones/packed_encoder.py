"""Encoder blocks over packed rows."""

import keras

from sentiment.models.backbones.packed_transformer import PackedTransformer


@keras.saving.register_keras_serializable(package="sentiment")
class PackedEncoder(PackedTransformer):
    """The layers of a BERT-like encoder over packed rows; see `PackedTransformer`."""

    is_causal = False

    def enter(self, embeddings, drop):
        x = self.backbone.embeddings_layer_norm(embeddings)
        x = drop(self.backbone.embeddings_dropout, x)
        projection = getattr(self.backbone, "embeddings_projection", None)
        return x if projection is None else projection(x)

    def leave(self, x):
        return x

    def call_stock_block(self, block, x, mask, shared, training):
        return block(x, attention_mask=mask, training=training)

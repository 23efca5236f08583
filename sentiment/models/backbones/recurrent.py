"""Recurrent layers: simple RNN, GRU, LSTM."""

from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.backbones.rnn_backbone import (
    PackedRecurrence,
    RNNBackbone,
    RNNTokenizer,
)


class Recurrent(BackboneKind):
    """`RNNBackbone`; its cell is the name of the architecture."""

    backbone_class = RNNBackbone
    tokenizer_class = RNNTokenizer
    block_name = "recurrent_layer_"

    def fresh(self, config, vocabulary_size, dtype):
        return RNNBackbone(
            vocabulary_size,
            config.num_layers,
            config.hidden_dim,
            config.architecture,
            config.dropout,
            dtype=dtype,
        )

    def embed(self, backbone, token_ids, positions):
        """There are no positions."""
        return backbone.token_embedding(token_ids)

    def packed_layers(self, backbone):
        return PackedRecurrence(backbone, name="decoder")

    def blocks(self, backbone):
        return backbone.recurrent_layers

    def matrix_axes(self, path):
        """None: a kernel holds the matrices of several gates."""

    def save_language_model(self, backbone, tokenizer, folder):
        """KerasHub loads the preset where this package is."""
        backbone.save_to_preset(folder)
        RNNTokenizer(dict(tokenizer.vocabulary), tokenizer.merges).save_to_preset(
            folder
        )


KIND = Recurrent()

"""Where the kinds of backbone differ, for what reads packed rows."""

import keras_hub

from sentiment.models.packed_decoder import PackedDecoder
from sentiment.models.rnn_backbone import PackedRecurrence, RNNBackbone

BACKBONES = (keras_hub.models.GPT2Backbone, RNNBackbone)


def packed_layers(backbone, reads_last: bool = False):
    """The layer from embeddings to hidden states over packed rows.

    Args:
        backbone: one of `BACKBONES`; its weights are shared.
        reads_last: whether only the last hidden state of each segment is read.
    """
    if isinstance(backbone, RNNBackbone):
        return PackedRecurrence(backbone, name="decoder")
    return PackedDecoder(backbone, reads_last=reads_last, name="decoder")

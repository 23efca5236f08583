"""ALBERT's encoder."""

import keras
import keras_hub
from keras_hub.src.utils.transformers import convert_albert

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.packed_encoder import PackedEncoder
from sentiment.models.backbones.transformer_kind import (
    EncoderKind,
    with_any_activation,
)
from sentiment.models.tokenizer_definitions import ALBERT_UNIGRAM

HuggingFaceAlbertBackbone = with_any_activation(keras_hub.models.AlbertBackbone)


@keras.saving.register_keras_serializable(package="sentiment")
class PackedAlbert(PackedEncoder):
    """ALBERT's groups of blocks, each called several times."""

    def blocks(self):
        backbone = self.backbone
        times = backbone.num_layers // backbone.num_groups
        return [
            block
            for group in backbone.transformer_layers
            for _ in range(times)
            for block in group
        ]


class Albert(EncoderKind):
    """`keras_hub.models.AlbertBackbone` (Lan et al. 2020): layers share weights."""

    backbone_class = keras_hub.models.AlbertBackbone
    variants = (HuggingFaceAlbertBackbone,)
    tokenizer_class = keras_hub.models.AlbertTokenizer
    unigram = ALBERT_UNIGRAM
    has_embedding_dim = True
    huggingface_types = ("albert",)
    huggingface_prefix = "albert"
    converter = convert_albert
    masked_head = ("predictions.dense", "predictions.LayerNorm", "predictions.bias")
    sequence_head = SequenceHead("cls", "tanh", "albert.pooler", "classifier")
    block_name = "group_0_inner_layer_"  # All published ones have one group.
    embedding_names = (*EncoderKind.embedding_names, "embedding_projection")
    activation = "gelu_approximate"

    def packed_layers(self, backbone):
        return PackedAlbert(backbone, name="encoder")

    def blocks(self, backbone):
        return [block for group in backbone.transformer_layers for block in group]

    def depth(self, path, num_layers):
        """A block that all layers share counts as the highest of them."""
        return (
            num_layers if path.startswith("group_") else super().depth(path, num_layers)
        )


KIND = Albert()

"""ELECTRA's encoder."""

import keras_hub
import numpy as np
from keras_hub.src.utils.transformers import convert_bert

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.transformer_kind import (
    EncoderKind,
    with_any_activation,
)

HuggingFaceElectraBackbone = with_any_activation(keras_hub.models.ElectraBackbone)


class ElectraConverter:
    """KerasHub has none; but for a projection, the weights have BERT's names."""

    @staticmethod
    def convert_backbone_config(config):
        return {
            "vocab_size": config["vocab_size"],
            "num_layers": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "embedding_dim": config["embedding_size"],
            "hidden_dim": config["hidden_size"],
            "intermediate_dim": config["intermediate_size"],
            "max_sequence_length": config["max_position_embeddings"],
            "num_segments": config["type_vocab_size"],
        }

    @staticmethod
    def convert_weights(backbone, weights, config):
        convert_bert.convert_weights(backbone, weights, config)
        if backbone.embedding_dim != backbone.hidden_dim:
            projection = backbone.embeddings_projection
            weights.port_weight(
                projection.kernel,
                "embeddings_project.weight",
                lambda array, _: np.transpose(array),
            )
            weights.port_weight(projection.bias, "embeddings_project.bias")


class Electra(EncoderKind):
    """`keras_hub.models.ElectraBackbone` (Clark et al. 2020), the discriminator."""

    backbone_class = keras_hub.models.ElectraBackbone
    variants = (HuggingFaceElectraBackbone,)
    tokenizer_class = keras_hub.models.ElectraTokenizer
    has_embedding_dim = True
    huggingface_types = ("electra",)
    huggingface_prefix = "electra"
    converter = ElectraConverter
    masked_head = (
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
    )
    sequence_head = SequenceHead(
        "cls", "gelu", "classifier.dense", "classifier.out_proj"
    )
    embedding_names = (*EncoderKind.embedding_names, "embeddings_projection")
    activation = "gelu_approximate"
    vocabulary_argument = "vocab_size"


KIND = Electra()

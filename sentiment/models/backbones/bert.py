"""BERT's encoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_bert

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.transformer_kind import (
    EncoderKind,
    with_any_activation,
)

HuggingFaceBertBackbone = with_any_activation(keras_hub.models.BertBackbone)


class Bert(EncoderKind):
    """`keras_hub.models.BertBackbone` (Devlin et al. 2019)."""

    backbone_class = keras_hub.models.BertBackbone
    variants = (HuggingFaceBertBackbone,)
    tokenizer_class = keras_hub.models.BertTokenizer
    huggingface_types = ("bert",)
    huggingface_prefix = "bert"
    converter = convert_bert
    masked_head = (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    )
    sequence_head = SequenceHead("cls", "tanh", "bert.pooler.dense", "classifier")
    activation = "gelu_approximate"

    def huggingface_arguments(self, config):
        cls, arguments = super().huggingface_arguments(config)
        # The converter takes the usual number.
        num_types = config.get("type_vocab_size") or 2
        return cls, {**arguments, "num_segments": num_types}


KIND = Bert()

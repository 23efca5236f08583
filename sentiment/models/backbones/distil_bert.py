"""DistilBERT's encoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_distilbert

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.transformer_kind import JointEmbeddingKind


class DistilBert(JointEmbeddingKind):
    """`keras_hub.models.DistilBertBackbone` (Sanh et al. 2019)."""

    backbone_class = keras_hub.models.DistilBertBackbone
    tokenizer_class = keras_hub.models.DistilBertTokenizer
    huggingface_types = ("distilbert",)
    huggingface_prefix = "distilbert"
    converter = convert_distilbert
    masked_head = ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias")
    sequence_head = SequenceHead("cls", "relu", "pre_classifier", "classifier")
    embedding_names = ("token_and_position_embedding", "embeddings_layer_norm")


KIND = DistilBert()

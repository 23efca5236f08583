"""XLM-RoBERTa's encoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_xlm_roberta

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.transformer_kind import JointEmbeddingKind
from sentiment.models.tokenizer_definitions import XLM_ROBERTA_UNIGRAM


class XLMRoberta(JointEmbeddingKind):
    """`keras_hub.models.XLMRobertaBackbone` (Conneau et al. 2020)."""

    backbone_class = keras_hub.models.XLMRobertaBackbone
    tokenizer_class = keras_hub.models.XLMRobertaTokenizer
    unigram = XLM_ROBERTA_UNIGRAM
    huggingface_types = ("xlm-roberta",)
    huggingface_prefix = "roberta"
    converter = convert_xlm_roberta
    masked_head = ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
    sequence_head = SequenceHead(
        "cls", "tanh", "classifier.dense", "classifier.out_proj"
    )
    embedding_names = ("embeddings",)
    layer_norm_epsilon = 1e-5


KIND = XLMRoberta()

"""XLM-RoBERTa's encoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_xlm_roberta

from sentiment.models.backbones.roberta import RobertaKind
from sentiment.models.tokenizer_definitions import XLM_ROBERTA_UNIGRAM


class XLMRoberta(RobertaKind):
    """`keras_hub.models.XLMRobertaBackbone` (Conneau et al. 2020)."""

    backbone_class = keras_hub.models.XLMRobertaBackbone
    tokenizer_class = keras_hub.models.XLMRobertaTokenizer
    unigram = XLM_ROBERTA_UNIGRAM
    huggingface_types = ("xlm-roberta",)
    converter = convert_xlm_roberta


KIND = XLMRoberta()

from sentiment.models.backbones.rnn_backbone import RNNBackbone
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.gpt2_text_classifier import GPT2TextClassifier
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.models.packed_text_classifier_preprocessor import (
    PackedTextClassifierPreprocessor,
)
from sentiment.models.rnn_text_classifier import RNNTextClassifier

__all__ = [
    "ByteLevelGPT2Tokenizer",
    "FastTokenizer",
    "GPT2TextClassifier",
    "GPT2TextClassifierPreprocessor",
    "PackedTextClassifier",
    "PackedTextClassifierPreprocessor",
    "RNNBackbone",
    "RNNTextClassifier",
]

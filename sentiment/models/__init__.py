from sentiment.models.gpt2_text_classifier import GPT2TextClassifier
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer

__all__ = [
    "ByteLevelGPT2Tokenizer",
    "GPT2TextClassifier",
    "GPT2TextClassifierPreprocessor",
]

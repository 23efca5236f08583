"""Sentiment classification with GPT-2 on Keras 3 and JAX."""

import os

# Keras reads this once, when it is imported, and its own default is TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")

from sentiment.memory import share_one_arena

share_one_arena()  # before JAX starts its threads

from sentiment.errors import InputError
from sentiment.models import (
    ByteLevelGPT2Tokenizer,
    GPT2TextClassifier,
    GPT2TextClassifierPreprocessor,
    RNNBackbone,
    RNNTextClassifier,
)

__version__ = "0.1.0"
__all__ = [
    "ByteLevelGPT2Tokenizer",
    "GPT2TextClassifier",
    "GPT2TextClassifierPreprocessor",
    "InputError",
    "RNNBackbone",
    "RNNTextClassifier",
]

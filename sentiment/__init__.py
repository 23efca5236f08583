"""Sentiment classification with GPT-2 and other backbones, on Keras 3 and JAX.

Importing this package loads neither Keras nor JAX; its names are found when they are
asked for. Keras, imported after it, computes on JAX and knows the classes of saved
models.
"""

import importlib
import os

# Keras reads this once, when it is imported, and its own default is TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")

from sentiment.runtime.memory import share_one_arena
from sentiment.runtime.registration import register_with_keras

share_one_arena()  # before JAX starts its threads
register_with_keras()

__version__ = "0.1.0"
_HOMES = {
    "ByteLevelGPT2Tokenizer": "sentiment.models",
    "GPT2TextClassifier": "sentiment.models",
    "GPT2TextClassifierPreprocessor": "sentiment.models",
    "InputError": "sentiment.errors",
    "PackedTextClassifier": "sentiment.models",
    "RNNBackbone": "sentiment.models",
    "RNNTextClassifier": "sentiment.models",
    "RunConfig": "sentiment.config",
    "load_classifier": "sentiment.inference.loading",
    "train_and_evaluate": "sentiment.training.train",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

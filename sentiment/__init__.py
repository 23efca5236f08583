"""Sentiment classification with GPT-2 and other backbones, on Keras 3 and JAX.

Importing this package loads neither Keras nor JAX; its names are found when they are
asked for. Keras, imported after it, computes on JAX and knows the classes of saved
models.
"""

import importlib
import os
import pkgutil
from typing import TYPE_CHECKING

# Keras reads this once, when it is imported, and its own default is TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")

from sentiment.runtime.memory import share_one_arena
from sentiment.runtime.registration import register_with_keras

share_one_arena()  # before JAX starts its threads
register_with_keras()

__version__ = "0.1.0"
_MODULE_OF = {
    "ByteLevelGPT2Tokenizer": "sentiment.models",
    "FastTokenizer": "sentiment.models",
    "GPT2TextClassifier": "sentiment.models",
    "GPT2TextClassifierPreprocessor": "sentiment.models",
    "InputError": "sentiment.errors",
    "PackedTextClassifier": "sentiment.models",
    "PackedTextClassifierPreprocessor": "sentiment.models",
    "RNNBackbone": "sentiment.models",
    "RNNTextClassifier": "sentiment.models",
    "RunConfig": "sentiment.config",
    "load_classifier": "sentiment.inference.loading",
    "train_and_evaluate": "sentiment.training.train",
}
__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:  # Checkers of types do not follow the names above.
    from sentiment.config import RunConfig as RunConfig
    from sentiment.errors import InputError as InputError
    from sentiment.inference.loading import load_classifier as load_classifier
    from sentiment.models import ByteLevelGPT2Tokenizer as ByteLevelGPT2Tokenizer
    from sentiment.models import FastTokenizer as FastTokenizer
    from sentiment.models import GPT2TextClassifier as GPT2TextClassifier
    from sentiment.models import (
        GPT2TextClassifierPreprocessor as GPT2TextClassifierPreprocessor,
    )
    from sentiment.models import PackedTextClassifier as PackedTextClassifier
    from sentiment.models import (
        PackedTextClassifierPreprocessor as PackedTextClassifierPreprocessor,
    )
    from sentiment.models import RNNBackbone as RNNBackbone
    from sentiment.models import RNNTextClassifier as RNNTextClassifier
    from sentiment.training.train import train_and_evaluate as train_and_evaluate


def __getattr__(name: str):
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    if any(module.name == name for module in pkgutil.iter_modules(__path__)):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})

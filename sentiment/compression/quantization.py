"""Weights in 8 or 4 bits."""

import gc

import keras

from sentiment.errors import InputError
from sentiment.models.packed_text_classifier import PackedTextClassifier

QUANTIZED = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)


def quantize(classifier: PackedTextClassifier, mode: str):
    """Rounds the backbone's matrices to integers, in place.

    Pooling and head stay in float32: they are small, and Keras reloads no task whose
    head is quantised. Recurrent layers, norms and positions stay, too.

    Args:
        classifier: a trained one, not quantised.
        mode: `int8` (a scale per output) or `int4` (a scale per block of inputs).

    Raises:
        InputError: it is quantised already.
    """
    if is_quantized(classifier):
        raise InputError("The model is quantised already. Give the one it was made of.")
    layers = {
        id(layer)
        for layer in classifier.backbone._flatten_layers()
        if isinstance(layer, QUANTIZED)
    }
    # Keras collects garbage after each matrix. Frozen, what was there before is not
    # looked through: 12 layers take a tenth of a second instead of 16.
    is_frozen = gc.get_freeze_count() > 0  # by the caller, who may want it so
    gc.freeze()
    try:
        classifier.quantize(mode, filters=lambda layer: id(layer) in layers)
    finally:
        if not is_frozen:
            gc.unfreeze()
    if not is_quantized(classifier):
        raise InputError(
            f"No layer of a {type(classifier.backbone).__name__} can be quantised."
        )


def is_quantized(classifier: PackedTextClassifier) -> bool:
    """Whether some layers hold integers."""
    layers = classifier.backbone._flatten_layers()
    return any(getattr(layer, "quantization_mode", None) for layer in layers)

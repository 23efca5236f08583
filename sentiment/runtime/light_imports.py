"""Keras and KerasHub without libraries that they import and a process does not need.

Both import a dozen optional libraries for parts that are not used here: scikit-learn
for wrappers, matplotlib for galleries of pictures, kagglehub for downloads. These take
half of the time of a first answer.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator

# What predicting does without, and Keras and KerasHub only try to import.
NOT_FOR_PREDICTION = ("grain", "matplotlib", "sklearn")
HUBS = ("huggingface_hub", "kagglehub")


def import_keras_for_prediction(may_download: bool = False):
    """Imports Keras, KerasHub and our models, and little else.

    What is left out counts as not installed for Keras and KerasHub from then on, so
    this is for a process that predicts and does nothing else.

    Args:
        may_download: whether a preset may have to be fetched from a hub.
    """
    hidden = NOT_FOR_PREDICTION + (() if may_download else HUBS)
    with _hidden(*hidden):
        importlib.import_module("sentiment.models")


@contextlib.contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Lets modules that are not loaded yet count as missing while this holds."""
    hidden = [name for name in names if name not in sys.modules]
    # What Python's import system documents for a module that must not be found.
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]

"""Our classes in Keras' registry, without importing Keras before a user does.

`keras.saving.load_model` finds classes by registered names, and a name is registered
when its module is imported. So `sentiment.models` is imported when Keras has been, or
at once where it has been already.
"""

import copy
import importlib.abc
import sys
from importlib.machinery import ModuleSpec

_KERAS, _HUB = "keras", "keras_hub"  # KerasHub imports Keras.
_MODELS = "sentiment.models"


def register_with_keras():
    """Imports our classes when Keras is imported, or now if it has been."""
    if _KERAS in sys.modules:
        __import__(_MODELS)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Keras and KerasHub where others do, and adds a last step to loading."""

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname not in (_KERAS, _HUB):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _registering(spec.loader)
        return spec


def _registering(loader):
    """A loader that also registers our classes, when the module has been executed."""
    changed = copy.copy(loader)  # One loader may serve several modules.

    def exec_module(module):
        loader.exec_module(module)
        # `__import__` as a statement does it: where two threads wait for each other's
        # modules it goes on with what there is, and the other thread comes here later.
        if module.__name__ == _KERAS:
            __import__(_HUB)
            if sys.modules[_HUB].__spec__._initializing:
                return  # Its own turn comes.
        __import__(_MODELS)

    changed.exec_module = exec_module
    return changed

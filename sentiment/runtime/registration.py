"""Our classes in Keras' registry, without importing Keras before a user does.

`keras.saving.load_model` finds classes by registered names, and a name is registered
when its module is imported. So `sentiment.models` is imported when Keras has been, or
at once where it has been already.
"""

import importlib
import importlib.abc
import importlib.util
import sys

# In each other's order: KerasHub imports Keras.
_LIBRARIES = ("keras_hub", "keras")
_MODELS = "sentiment.models"


def register_with_keras():
    """Imports our classes when Keras is imported, or now if it has been."""
    if any(_is_loaded(name) for name in _LIBRARIES) and not _is_loading():
        importlib.import_module(_MODELS)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _is_loaded(name: str) -> bool:
    return name in sys.modules and not _is_initializing(sys.modules[name])


def _is_loading() -> bool:
    return any(
        name in sys.modules and _is_initializing(sys.modules[name])
        for name in _LIBRARIES
    )


def _is_initializing(module) -> bool:
    return getattr(module.__spec__, "_initializing", False)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Keras and KerasHub where others do, and adds a last step to loading."""

    def __init__(self):
        self._is_busy = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in _LIBRARIES or self._is_busy:
            return None
        self._is_busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):  # What else the loader can do.
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        others = [name for name in _LIBRARIES if name != module.__name__]
        # Where KerasHub is importing Keras, its own turn comes.
        if not any(
            name in sys.modules and _is_initializing(sys.modules[name])
            for name in others
        ):
            importlib.import_module(_MODELS)

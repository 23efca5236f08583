"""Models that are read from a file need no random weights before.

Keras draws a new model's weights with a program that JAX compiles for each of their
shapes; for a model of a few million weights that takes longer than reading them.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator

import jax.numpy as jnp
import keras
import numpy as np

_RANDOM = (
    keras.initializers.Orthogonal,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,  # and what it is the base of
)
_thread = threading.local()


@contextlib.contextmanager
def without_initial_weights() -> Iterator[None]:
    """While this holds, random initializers of this thread give zeros, at no cost.

    For models whose weights are all assigned before it ends.
    """
    before = getattr(_thread, "is_blank", False)
    _thread.is_blank = True
    try:
        yield
    finally:
        _thread.is_blank = before


def _unless_blank(draw):
    @functools.wraps(draw)
    def __call__(self, shape, dtype=None, **options):
        if not getattr(_thread, "is_blank", False):
            return draw(self, shape, dtype=dtype, **options)
        dtype = jnp.dtype(keras.backend.standardize_dtype(dtype))
        return jnp.asarray(np.zeros(shape, dtype))  # jnp.zeros compiles, too.

    return __call__


for _initializer in _RANDOM:
    _initializer.__call__ = _unless_blank(_initializer.__call__)

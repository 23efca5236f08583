"""Steps that read a model and leave it as it is.

Keras' own functions for prediction and evaluation give the buffers of the weights away
and write what comes back into the variables. Another thread, or whoever goes on after
an interruption, then finds buffers that have been deleted.
"""

import contextlib
from collections.abc import Callable

import jax
from keras.src.backend.common import global_state

from sentiment.runtime.threads import BUILDING, check_not_forked


class PureStep:
    """A step of Keras' trainer as a compiled function of state and batch.

    Nothing is donated, so any number of threads may call it at once, and it may be
    interrupted anywhere.

    Args:
        step: `(state, data) -> result`, as `keras.Model.predict_step` is.
    """

    def __init__(self, step: Callable):
        self._step, self._traced = jax.jit(step), set()

    def on(self, state) -> Callable:
        """The step on one state, as a function of the data.

        Args:
            state: lists of arrays, values of the model's variables.

        Returns:
            A function of a batch: arrays, in dicts and tuples.

        Raises:
            InputError: see `check_not_forked`.
        """
        check_not_forked()
        of_state = _signature(state)

        def step(data):
            signature = of_state, _signature(data)
            if signature in self._traced:
                return self._step(state, data)
            with BUILDING, scopes_kept():
                result = self._step(state, data)
            self._traced.add(signature)
            return result

        return step


@contextlib.contextmanager
def scopes_kept():
    """Around what traces Keras layers: an interruption leaves no scope open.

    Keras keeps the scopes that it is inside of (names, stateless calls, dtypes) in
    variables of the thread. A `KeyboardInterrupt` between entering one and Keras' own
    `finally` would leave it there, and what is built later would have other names.
    """
    noted = vars(global_state.GLOBAL_STATE_TRACKER)
    before = {k: v[:] if isinstance(v, list) else v for k, v in noted.items()}
    try:
        yield
    except BaseException:
        for name, value in noted.items():
            if isinstance(value, list):
                value[:] = before.get(name, [])
            elif not isinstance(value, dict):  # counts of names, and the like, stay
                noted[name] = before.get(name)
        raise


def _signature(arrays) -> tuple:
    leaves, structure = jax.tree.flatten(arrays)
    return structure, *((leaf.shape, str(leaf.dtype)) for leaf in leaves)

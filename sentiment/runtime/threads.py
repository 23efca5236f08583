"""What threads and forked processes may not do at once with Keras and JAX."""

import functools
import os
import sys
import threading

from sentiment.errors import InputError

# Keras keeps notes on layers while it traces them, and rewrites the bases of classes
# while it builds a model: one thread at a time.
BUILDING = threading.RLock()

_is_forked_from_jax = False


def one_thread_at_a_time(function):
    """A function that builds models, which waits for other threads that do."""

    @functools.wraps(function)
    def waiting(*args, **kwargs):
        with BUILDING:
            return function(*args, **kwargs)

    return waiting


def check_not_forked():
    """Refuses to compute where JAX would hang.

    Raises:
        InputError: this process was forked from one in which JAX had begun to compute;
            JAX's threads are not forked with it.
    """
    if _is_forked_from_jax:
        raise InputError(
            "This process was forked from one in which JAX has computed. It would wait "
            "for ever for JAX's threads, which are not forked with it. Start processes "
            'by "spawn": multiprocessing.get_context("spawn"). Load the model there.'
        )


def _note_fork():
    global _is_forked_from_jax
    bridge = sys.modules.get("jax._src.xla_bridge")
    _is_forked_from_jax = bridge is not None and bridge.backends_are_initialized()
    BUILDING._at_fork_reinit()  # A thread that is no more may have held it.


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)

"""Keeping freed memory for the next training step.

XLA allocates a step's activations anew each time, 6 GB for GPT-2 small at 8 rows
of 512. glibc maps and unmaps what is that large, and the first touch of each page
then costs a fifth of the step. Other C libraries are left as they are.
"""

import ctypes
import math
import os
from importlib.metadata import entry_points
from importlib.util import find_spec

# Parameters of mallopt, from glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def share_one_arena() -> bool:
    """Lets all threads allocate from the arena of the main one.

    Arenas of other threads cannot grow to the size of a step's activations, so
    glibc would map those whatever it has been told. glibc reads the limit once,
    when the first other thread allocates: before JAX is imported. Nothing changes where
    the user has set a limit (`MALLOC_ARENA_MAX`), or where an accelerator does the
    training.

    The tokenizer's threads, which allocate a string for each token, would wait for
    each other three times longer than they save: it gets one, unless the user has
    set `TOKENIZERS_PARALLELISM`.

    Returns:
        Whether the C library took it.
    """
    if "MALLOC_ARENA_MAX" in os.environ or has_accelerator():
        return False
    taken = _set((_ARENA_MAX, 1))
    if taken:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return taken


def keep_freed_memory() -> bool:
    """Hands nothing back to the operating system until the process ends.

    Returns:
        Whether the C library took it.
    """
    return _set((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))  # -1: never


def physical_memory() -> float:
    """Bytes of the machine's memory; infinity where that cannot be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def has_accelerator() -> bool:
    """Whether JAX has a back end beside the CPU's, seen without importing it."""
    return bool(entry_points(group="jax_plugins")) or find_spec("libtpu") is not None


def _set(*parameters) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return all(mallopt(name, value) == 1 for name, value in parameters)

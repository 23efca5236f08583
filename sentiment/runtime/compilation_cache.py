"""Compiled programs that the next process reuses."""

import contextlib
import hashlib
import platform
from pathlib import Path

import jax

from sentiment.runtime.outputs import check_private, make_private

MIN_SECONDS = 0.1  # of compilation; what is faster is not worth a file
MAX_BYTES = 2 << 30


def use_compilation_cache(cache_dir: str):
    """Keeps what XLA compiles in a folder, under JAX's own keys.

    A folder that JAX has been given already (`JAX_COMPILATION_CACHE_DIR`) stays.

    Args:
        cache_dir: the cache folder; empty: nothing is kept.
    """
    if not cache_dir or jax.config.jax_compilation_cache_dir:
        return
    folder = Path(cache_dir) / f"xla-{_machine()}"
    for place in (folder.parent, folder):
        check_private(place)
    with contextlib.suppress(OSError):  # JAX goes on without.
        make_private(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)


def _machine() -> str:
    """Tells apart processors, whose programs may not run on each other.

    A home folder can be shared by several kinds of machine.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = sorted({x for x in lines if x.startswith(("flags", "Features"))})
    except OSError:  # not Linux
        features = [platform.processor()]
    digest = hashlib.blake2b("\n".join(features).encode(), digest_size=4)
    return f"{platform.machine()}-{digest.hexdigest()}"

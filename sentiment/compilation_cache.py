"""Compiled programs that the next process reuses."""

from pathlib import Path

import jax


def use_compilation_cache(cache_dir: str):
    """Keeps what XLA compiles in a folder, under JAX's own keys.

    A folder that JAX has been given already (`JAX_COMPILATION_CACHE_DIR`) stays.

    Args:
        cache_dir: the cache folder; empty: nothing is kept.
    """
    if not cache_dir or jax.config.jax_compilation_cache_dir:
        return
    jax.config.update("jax_compilation_cache_dir", str(Path(cache_dir) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_max_size", 2 << 30)

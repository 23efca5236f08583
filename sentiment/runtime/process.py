"""What a process needs once, before its first model."""

import os

from sentiment.config import SpeedConfig
from sentiment.errors import InputError
from sentiment.runtime.compilation_cache import use_compilation_cache
from sentiment.runtime.memory import has_accelerator, keep_freed_memory


def prepare_process(speed: SpeedConfig):
    """Sets the whole process up as `speed` says: compiled programs, memory.

    Raises:
        InputError: JAX cannot start on the devices that it is told to use.
    """
    _check_devices()
    use_compilation_cache(speed.cache_dir)
    if speed.keep_memory and not has_accelerator():
        keep_freed_memory()


def _check_devices():
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter says nothing
        platforms = os.environ.get("JAX_PLATFORMS", "")
        told = f" on JAX_PLATFORMS={platforms}" if platforms else ""
        reason = f": {error}" if str(error) else ", for there is no such device"
        advice = " Unset JAX_PLATFORMS, and it takes what there is." if told else ""
        raise InputError(f"JAX cannot start{told}{reason}.{advice}") from error

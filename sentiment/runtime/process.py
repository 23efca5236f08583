"""What a process needs once, before its first model."""

from sentiment.config import SpeedConfig
from sentiment.runtime.compilation_cache import use_compilation_cache
from sentiment.runtime.memory import has_accelerator, keep_freed_memory


def prepare_process(speed: SpeedConfig):
    """Sets the whole process up as `speed` says: compiled programs, memory."""
    use_compilation_cache(speed.cache_dir)
    if speed.keep_memory and not has_accelerator():
        keep_freed_memory()

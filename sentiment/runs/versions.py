"""What a run was made with."""

import platform
from importlib import metadata

import sentiment

PACKAGES = ("keras", "keras-hub", "jax", "jaxlib", "optax", "grain", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, this package and what decides its numbers."""
    return {
        "python": platform.python_version(),
        "sentiment": sentiment.__version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }

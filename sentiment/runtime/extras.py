"""The parts of this package's dependencies that not every installation has."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def pyproject() -> Path | None:
    """`pyproject.toml` of the checkout that this code runs from, if it is one."""
    path = CHECKOUT / "pyproject.toml"
    return path if path.is_file() else None


def how_to_install(extra: str) -> str:
    """The command that brings what an extra of the package needs.

    In a checkout it is the pinned list without dependencies, for with them keras-hub
    would bring TensorFlow.

    Args:
        extra: such as "train".
    """
    if pyproject():
        return "pip install --no-deps -r requirements.txt"
    return f'pip install "sentiment[{extra}]"'

"""Models that come along; see MODEL_CARD.md for how they were made."""

from pathlib import Path

from sentiment.errors import InputError

FOLDER = Path(__file__).parent


def bundled_presets() -> dict[str, Path]:
    """The folder of each preset that comes along, by the name to ask for it."""
    return {path.parent.name: path.parent for path in FOLDER.glob("*/config.json")}


def resolve(name: str) -> str:
    """The folder of the preset that comes along by this name; else `name` itself.

    Raises:
        InputError: a file or folder here has the same name.
    """
    folder = bundled_presets().get(name)
    if folder is None:
        return name
    if Path(name).exists():
        raise InputError(
            f"{name!r} is a model that comes with this package, and also a path here. "
            f"Say ./{name} for the path, or start from another folder."
        )
    return str(folder)

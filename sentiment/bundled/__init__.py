"""Models that come along; see MODEL_CARD.md for how they were made."""

from pathlib import Path

FOLDER = Path(__file__).parent


def bundled_presets() -> dict[str, Path]:
    """The folder of each preset that comes along, by the name to ask for it."""
    return {path.parent.name: path.parent for path in FOLDER.glob("*/config.json")}

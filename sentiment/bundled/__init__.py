"""Models that come along; see MODEL_CARD.md for how they were made."""

from pathlib import Path

import keras_hub

from sentiment.errors import InputError

FOLDER = Path(__file__).parent


def bundled_presets() -> dict[str, Path]:
    """The folder of each preset that comes along, by the name to ask for it."""
    return {path.parent.name: path.parent for path in FOLDER.glob("*/config.json")}


def check_name(name: str):
    """Raises an `InputError` for a name that would hide something else."""
    if name.startswith("_") or name in keras_hub.models.GPT2Backbone.presets:
        raise InputError(f"{name!r} is taken. Give another --name.")

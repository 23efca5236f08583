"""Putting a model into the package, for those who make it."""

from sentiment.bundled import FOLDER
from sentiment.errors import InputError
from sentiment.models.backbones import kerashub_presets
from sentiment.models.half_precision import save_half_precision


def bundle(preset: str, name: str):
    """Puts a preset into the package, at half precision.

    Args:
        preset: its folder.
        name: what it is to be called.

    Raises:
        InputError: the name is taken, or see `save_half_precision`.
    """
    if name.startswith("_") or name in kerashub_presets():
        raise InputError(f"{name!r} is taken. Give another --name.")
    save_half_precision(preset, FOLDER / name)

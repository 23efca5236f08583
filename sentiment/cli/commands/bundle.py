"""Puts a preset into the package, at half precision.

sentiment bundle --preset=runs/imdb_mini/preset --name=imdb_mini_sentiment
"""

from sentiment.config import BundleCommand

CONFIG = BundleCommand
IS_INTERNAL = True  # for those who make the package


def run(command: BundleCommand):
    """Copies the preset."""
    from sentiment.compression.bundle import bundle

    bundle(command.preset, command.name)
    print(f"{command.preset} is now the preset {command.name}.")

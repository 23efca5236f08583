"""Puts a preset into the package, at half precision.

python scripts/bundle.py --preset=runs/imdb_mini/preset --name=imdb_mini_sentiment
"""

from flags import parse_bundle, run_script


def main(command):
    """Copies the preset."""
    from sentiment.bundled import bundle

    bundle(command.preset, command.name)
    print(f"{command.preset} is now the preset {command.name}.")


if __name__ == "__main__":
    run_script(parse_bundle, main)

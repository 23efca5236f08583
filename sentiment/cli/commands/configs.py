"""Lists the flagfiles that come along, or copies one to edit.

sentiment configs
sentiment configs --copy=imdb
"""

from sentiment.config import ConfigsCommand

CONFIG = ConfigsCommand
COMPUTES = False  # so any Keras backend will do


def run(command: ConfigsCommand):
    """Prints name and purpose of each, or copies one."""
    from sentiment.cli.flagfiles import copy_config, purposes

    if command.copy:
        print(f"Copied to {copy_config(command.copy, command.output)}.")
        return
    found = purposes()
    width = max(map(len, found))
    for name, purpose in found.items():
        print(f"{name:<{width}}  {purpose}")

"""Prints what teaches bash or zsh to complete commands and flags.

sentiment completion --shell=bash
"""

from sentiment.config import CompletionCommand

CONFIG = CompletionCommand
COMPUTES = False  # so any Keras backend will do


def run(command: CompletionCommand):
    """Prints the script."""
    from sentiment.cli.completion import completion_script

    print(completion_script(command.shell), end="")

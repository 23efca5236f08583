"""Trains a sentiment classifier, evaluates it and saves it.

sentiment train --flagfile=configs/imdb.cfg --workdir=runs/imdb
"""

from sentiment.config import TrainCommand

CONFIG = TrainCommand


def run(command: TrainCommand):
    """Trains; the same command goes on after an interruption."""
    from sentiment.evaluation.summary import print_run
    from sentiment.training.train import train_and_evaluate

    result = train_and_evaluate(command.run, command.workdir, command.overwrite)
    print_run(result.metrics, command.workdir)

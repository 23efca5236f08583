"""Searches for settings and trains a classifier with the best ones.

sentiment tune --flagfile=configs/imdb.cfg --trials=20 --workdir=runs/tuned
"""

from pathlib import Path

from sentiment.config import TuneCommand

CONFIG = TuneCommand
EXTRA = "tune"  # of the package, whichever module of it is missed first


def run(command: TuneCommand):
    """Tries settings, then trains the winner; the same command goes on."""
    from sentiment.evaluation.summary import print_run, print_trials
    from sentiment.search.study import BEST_FILE, BEST_FOLDER, tune

    result = tune(
        command.run,
        command.dimensions,
        command.trials,
        command.workdir,
        command.overwrite,
    )
    print_trials(result.trials, command.run.training.monitor)
    if result.metrics:
        workdir = Path(command.workdir)
        print_run(result.metrics, workdir / BEST_FOLDER)
        print(f"Its settings: sentiment train --flagfile={workdir / BEST_FILE}")

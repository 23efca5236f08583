"""Fits a classical classifier, to measure others against.

sentiment baseline --method=nb_svm --dataset=imdb_reviews --workdir=runs/nb_svm
"""

from sentiment.config import BaselineCommand

CONFIG = BaselineCommand


def run(command: BaselineCommand):
    """Fits, evaluates and saves."""
    from sentiment.baselines.run import run_baseline
    from sentiment.evaluation.summary import print_splits

    print_splits(run_baseline(command.run, command.workdir, command.overwrite))
    print(f"Saved in {command.workdir}.")

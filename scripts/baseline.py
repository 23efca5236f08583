"""Fits a classical classifier, to measure others against.

python scripts/baseline.py --method=nb_svm --dataset=imdb_reviews --workdir=runs/nb_svm
"""

from flags import parse_baseline, run_script


def main(command):
    """Fits, evaluates and saves."""
    from sentiment.evaluation.summary import print_splits
    from sentiment.training.baseline import run_baseline

    print_splits(run_baseline(command.run, command.workdir, command.overwrite))
    print(f"Saved in {command.workdir}.")


if __name__ == "__main__":
    run_script(parse_baseline, main)

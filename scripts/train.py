"""Trains a sentiment classifier.

python scripts/train.py --flagfile=configs/imdb.cfg --workdir=runs/imdb
"""

from flags import parse_train, run_script


def main(command):
    """Trains, evaluates and saves."""
    from sentiment.evaluation.summary import print_run
    from sentiment.training.train import train_and_evaluate

    result = train_and_evaluate(command.run, command.workdir, command.overwrite)
    print_run(result.metrics, command.workdir)


if __name__ == "__main__":
    run_script(parse_train, main)

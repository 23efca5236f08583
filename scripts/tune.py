"""Searches for settings and trains a classifier with the best ones.

python scripts/tune.py --flagfile=configs/imdb.cfg --trials=20 --workdir=runs/tuned
"""

from pathlib import Path

from flags import parse_tune, run_script


def main(command):
    """Tries settings, then trains the winner; the same command goes on."""
    from sentiment.evaluation.summary import print_run, print_trials
    from sentiment.training.tuning import BEST_FILE, BEST_FOLDER, tune

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
        print(f"Its settings: python scripts/train.py --flagfile={workdir / BEST_FILE}")


if __name__ == "__main__":
    run_script(parse_tune, main)

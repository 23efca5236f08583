"""Pre-trains a language model on the domain's text, then fine-tunes a classifier.

python scripts/two_stage.py --flagfile=configs/imdb_two_stage.cfg --workdir=runs/imdb2
"""

from flags import parse_two_stage, run_script


def main(command):
    """Runs both stages; the same command goes on after an interruption."""
    from sentiment.config import stage_folders
    from sentiment.evaluation.summary import print_pretraining, print_run
    from sentiment.training.two_stage import train_in_two_stages

    metrics = train_in_two_stages(
        command.pretrain, command.train, command.workdir, command.overwrite
    )
    folders = stage_folders(command.workdir)
    print_pretraining(metrics["language_model"], folders["language_model"])
    print_run(metrics["classifier"], folders["classifier"])


if __name__ == "__main__":
    run_script(parse_two_stage, main)

"""Trains a language model on the domain's text, then a classifier on top of it.

sentiment two_stage --flagfile=configs/imdb_two_stage.cfg --workdir=runs/both
"""

from sentiment.cli.flagfiles import found_flagfile
from sentiment.cli.flags import HelpAsked, parse_flags, parse_values
from sentiment.config import (
    PretrainCommand,
    TrainCommand,
    TwoStageCommand,
)
from sentiment.errors import InputError
from sentiment.runs.files import PRESET_FOLDER, stage_folders

CONFIG = TwoStageCommand
NOT_FLAGS = ("pretrain", "train")  # Their settings come from two flagfiles.


def parse(arguments: list[str]) -> TwoStageCommand:
    """The settings of both stages, from the flagfile of each."""
    flag_values, _ = parse_values(CONFIG, arguments, frozenset(NOT_FLAGS))
    values = {name: flag_values[name].value for name in flag_values}
    for name in ("language_model", "classifier", "workdir"):
        if not values[name]:
            raise InputError(f"--{name} is missing. See --help.")
    folders = stage_folders(values["workdir"])
    stages = {
        stage: [f"--flagfile={found_flagfile(values[stage])}", f"--workdir={folder}"]
        for stage, folder in folders.items()
    }
    if values["tfds_data_dir"]:
        for stage in stages.values():
            stage.append(f"--tfds_data_dir={values['tfds_data_dir']}")
    preset = folders["language_model"] / PRESET_FOLDER
    stages["classifier"].append(f"--preset={preset}")
    commands = {"language_model": PretrainCommand, "classifier": TrainCommand}
    try:
        first, second = (parse_flags(commands[name], stages[name]) for name in stages)
    except HelpAsked:
        raise InputError(
            "--help is for the command line, not for a flagfile."
        ) from None
    return parse_flags(CONFIG, arguments, pretrain=first.run, train=second.run)


def run(command: TwoStageCommand):
    """Runs both stages; the same command goes on after an interruption."""
    from sentiment.evaluation.summary import print_pretraining, print_run
    from sentiment.training.two_stage import train_in_two_stages

    metrics = train_in_two_stages(
        command.pretrain, command.train, command.workdir, command.overwrite
    )
    folders = stage_folders(command.workdir)
    print_pretraining(metrics["language_model"], folders["language_model"])
    print_run(metrics["classifier"], folders["classifier"])

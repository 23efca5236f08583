"""Command-line flags: the only place that defines or reads them.

Every field of a config becomes a flag of the same name, so a flag cannot miss
its setting. Scripts call `run_script` with a function that takes what
`parse` made of the command line.
"""

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The scripts run from a plain checkout, in any folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
    sys.exit(
        "error: the scripts run on the jax backend. Received: KERAS_BACKEND="
        f"{os.environ['KERAS_BACKEND']}. Unset it."
    )
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not sys.stderr.isatty():  # A log file wants few lines of progress.
    os.environ.setdefault("TQDM_MININTERVAL", "10")

from absl import flags, logging

from sentiment.config import (
    PRESET_FOLDER,
    AdversarialConfig,
    BackboneConfig,
    BaselineCommand,
    BaselineConfig,
    BaselineRunConfig,
    BundleCommand,
    CompareCommand,
    CompressCommand,
    CompressionConfig,
    CompressRunConfig,
    CorpusConfig,
    DataConfig,
    DoctorCommand,
    EvaluateCommand,
    ModelConfig,
    PredictCommand,
    PretrainCommand,
    PretrainingConfig,
    PretrainRunConfig,
    RunConfig,
    SpeedConfig,
    TrainCommand,
    TrainingConfig,
    TuneCommand,
    TwoStageCommand,
    UnlabelledConfig,
    stage_folders,
)
from sentiment.errors import InputError, is_out_of_memory

EXIT_INPUT_ERROR = 2

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_list,
}


def define(config_class: type, flag_values: flags.FlagValues):
    """Defines one flag for each field of a config class."""
    for field in dataclasses.fields(config_class):
        if "help" not in field.metadata:
            continue  # A group of settings, which has its own class.
        default = field.default
        if default is dataclasses.MISSING:
            default = list(field.default_factory())
        definer = _DEFINE[field.type]
        if field.metadata["repeated"]:
            definer = flags.DEFINE_multi_string
        definer(field.name, default, field.metadata["help"], flag_values=flag_values)


def read(config_class: type, flag_values: flags.FlagValues, **groups: Any) -> Any:
    """Makes a config of the flags that `define` defined.

    Args:
        config_class: the class that was defined.
        flag_values: parsed flags.
        **groups: values of the fields that are groups of settings.
    """
    settings = {
        field.name: flag_values[field.name].value
        for field in dataclasses.fields(config_class)
        if "help" in field.metadata
    }
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
    }
    return config_class(**settings, **groups)


_TRAIN_GROUPS = {
    "data": DataConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "speed": SpeedConfig,
    "unlabelled": UnlabelledConfig,
    "adversarial": AdversarialConfig,
}


def parse_train(argv: list[str]) -> TrainCommand:
    """What the command line asks of scripts/train.py."""
    return _parse_run(argv, _TRAIN_GROUPS, RunConfig, TrainCommand)


def parse_tune(argv: list[str]) -> TuneCommand:
    """What the command line asks of scripts/tune.py."""
    return _parse_run(argv, _TRAIN_GROUPS, RunConfig, TuneCommand)


def parse_pretrain(argv: list[str]) -> PretrainCommand:
    """What the command line asks of scripts/pretrain.py."""
    groups = {
        "corpus": CorpusConfig,
        "backbone": BackboneConfig,
        "training": PretrainingConfig,
        "speed": SpeedConfig,
    }
    return _parse_run(argv, groups, PretrainRunConfig, PretrainCommand)


def parse_two_stage(argv: list[str]) -> TwoStageCommand:
    """What the command line asks of scripts/two_stage.py: two flagfiles in one."""
    flag_values = _parse(argv, TwoStageCommand)
    values = {name: flag_values[name].value for name in flag_values}
    for name in ("language_model", "classifier", "workdir"):
        if not values[name]:
            raise InputError(f"--{name} is missing. See --help.")
    folders = stage_folders(values["workdir"])
    stages = {
        stage: [argv[0], f"--flagfile={_found(values[stage])}", f"--workdir={folder}"]
        for stage, folder in folders.items()
    }
    if values["tfds_data_dir"]:
        for arguments in stages.values():
            arguments.append(f"--tfds_data_dir={values['tfds_data_dir']}")
    preset = folders["language_model"] / PRESET_FOLDER
    stages["classifier"].append(f"--preset={preset}")
    return read(
        TwoStageCommand,
        flag_values,
        pretrain=parse_pretrain(stages["language_model"]).run,
        train=parse_train(stages["classifier"]).run,
    )


def _found(flagfile: str) -> str:
    """A flagfile named from here or, as our configs do, from the checkout."""
    from_checkout = Path(__file__).resolve().parent.parent / flagfile
    if not os.path.exists(flagfile) and from_checkout.exists():
        return str(from_checkout)
    return flagfile


def parse_baseline(argv: list[str]) -> BaselineCommand:
    """What the command line asks of scripts/baseline.py."""
    groups = {"data": DataConfig, "baseline": BaselineConfig}
    return _parse_run(argv, groups, BaselineRunConfig, BaselineCommand)


def parse_compress(argv: list[str]) -> CompressCommand:
    """What the command line asks of scripts/compress.py."""
    groups = {
        "data": DataConfig,
        "compression": CompressionConfig,
        "training": TrainingConfig,
        "speed": SpeedConfig,
    }
    return _parse_run(argv, groups, CompressRunConfig, CompressCommand)


def parse_compare(argv: list[str]) -> CompareCommand:
    """What the command line asks of scripts/compare.py; runs are no flags."""
    flag_values, runs = _parse_with_rest(argv, CompareCommand)
    return read(CompareCommand, flag_values, runs=tuple(runs))


def parse_evaluate(argv: list[str]) -> EvaluateCommand:
    """What the command line asks of scripts/evaluate.py."""
    groups = {"data": DataConfig, "speed": SpeedConfig}
    flag_values = _parse(argv, *groups.values(), EvaluateCommand)
    parts = {name: read(group, flag_values) for name, group in groups.items()}
    return read(EvaluateCommand, flag_values, **parts)


def parse_predict(argv: list[str]) -> PredictCommand:
    """What the command line asks of scripts/predict.py."""
    flag_values = _parse(argv, SpeedConfig, PredictCommand)
    speed = read(SpeedConfig, flag_values)
    return read(PredictCommand, flag_values, speed=speed)


def parse_doctor(argv: list[str]) -> DoctorCommand:
    """What the command line asks of scripts/doctor.py."""
    return read(DoctorCommand, _parse(argv, DoctorCommand))


def parse_bundle(argv: list[str]) -> BundleCommand:
    """What the command line asks of scripts/bundle.py."""
    return read(BundleCommand, _parse(argv, BundleCommand))


def _parse_run(argv: list[str], groups: dict[str, type], run_class, command_class):
    flag_values = _parse(argv, *groups.values(), run_class, command_class)
    parts = {name: read(group, flag_values) for name, group in groups.items()}
    run = read(run_class, flag_values, **parts)
    return read(command_class, flag_values, run=run)


def _parse(argv: list[str], *config_classes: type) -> flags.FlagValues:
    flag_values, rest = _parse_with_rest(argv, *config_classes)
    if rest:
        raise InputError(
            f"Every setting is a flag, --name=value. Received: {' '.join(rest)}"
        )
    return flag_values


def _parse_with_rest(
    argv: list[str], *config_classes: type
) -> tuple[flags.FlagValues, list[str]]:
    flag_values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Show the flags.", flag_values=flag_values)
    for config_class in config_classes:
        define(config_class, flag_values)
    try:
        rest = flag_values(argv)
    except flags.Error as error:
        raise InputError(f"{error}. See --help.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"A --flagfile must be UTF-8 text: {error}.") from error
    if flag_values.help:
        print(flag_values.get_help())
        sys.exit(0)
    return flag_values, rest[1:]


def run_script(parse: Callable[[list[str]], Any], main: Callable[[Any], None]):
    """Parses the command line and runs `main`; user errors get no traceback.

    Exits with status 2 and one message for an `InputError`, with 130 when
    interrupted.
    """
    logging.set_verbosity(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):  # A terminal may lack a character.
        stream.reconfigure(errors="replace")
    try:
        main(parse(sys.argv))
    except InputError as error:
        sys.exit(_fail(f"error: {error}", EXIT_INPUT_ERROR))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted", 130))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.print_exc()
        sys.exit(_fail("error: out of memory; try a smaller --batch_size", 1))


def _fail(message: str, status: int) -> int:
    sys.stdout.flush()
    print(message, file=sys.stderr)
    return status

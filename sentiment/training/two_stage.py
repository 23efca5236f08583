"""A language model on the domain's text, then a classifier on top of it."""

import json
import logging
from pathlib import Path

from sentiment.config import ARCHITECTURES, PretrainRunConfig, RunConfig
from sentiment.data.datasets import load_splits
from sentiment.errors import InputError
from sentiment.models.backbones import kind_of_architecture
from sentiment.runs.files import METRICS_FILE, stage_folders
from sentiment.runs.workdir import changed_flags
from sentiment.training.pretrain import pretrain
from sentiment.training.teachers import classes_of, load_teachers
from sentiment.training.train import train_and_evaluate
from sentiment.training.unlabelled_texts import read_unlabelled, written_teachers

logger = logging.getLogger(__name__)


def train_in_two_stages(
    pretrain_config: PretrainRunConfig,
    train_config: RunConfig,
    workdir: str | Path,
    overwrite: bool = False,
) -> dict:
    """Runs both stages; one that is finished is not run again.

    Args:
        pretrain_config: the first stage.
        train_config: the second; its preset is what the first leaves.
        workdir: folder for the results: `language_model/`, `classifier/` and
            `metrics.json`, which holds the metrics of both.
        overwrite: whether to run finished stages anew.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: see `pretrain` and `train_and_evaluate`; or a finished stage had
            other settings, or the second does not go with the first.
    """
    folders = stage_folders(workdir)
    stages = {
        "language_model": (pretrain_config, pretrain),
        "classifier": (train_config, train_and_evaluate),
    }
    for name, (config, _) in stages.items():  # Before hours of work.
        if not overwrite:
            _check_settings(folders[name], config)
    if overwrite or not (folders["language_model"] / METRICS_FILE).exists():
        _check_second_stage(pretrain_config, train_config)
    metrics = {}
    for name, (config, run) in stages.items():
        folder = folders[name]
        if overwrite or not (folder / METRICS_FILE).exists():
            run(config, folder, overwrite)
        else:
            logger.info(f"Finished already: {folder}.")
        metrics[name] = json.loads((folder / METRICS_FILE).read_text())
    (Path(workdir) / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def _check_settings(folder: Path, config: PretrainRunConfig | RunConfig):
    if not (folder / METRICS_FILE).exists():
        return
    changed = changed_flags(folder, config, ignored=("preset",))
    if changed:
        raise InputError(
            f"{folder} holds a finished stage with other settings. Give --overwrite to "
            "run it anew, or another --workdir. New are:\n  " + "\n  ".join(changed)
        )


def _check_second_stage(pretrain_config: PretrainRunConfig, config: RunConfig):
    """What would else be found when the first stage, hours later, is done."""
    first, second = pretrain_config.backbone, config.model
    if first.lowercase != second.lowercase:
        raise InputError(
            "Both stages must have the same --lowercase. Received: "
            f"{first.lowercase} for the language model, {second.lowercase} for the "
            "classifier."
        )
    has_positions = ARCHITECTURES[first.architecture].has_positions
    is_limited = has_positions and not first.preset
    if is_limited and second.sequence_length > first.max_positions:
        raise InputError(
            f"The classifier's --sequence_length={second.sequence_length} is beyond "
            f"the language model's --max_positions={first.max_positions}."
        )
    if not first.preset and second.keep_layers > first.num_layers:
        raise InputError(
            f"The classifier's --keep_layers={second.keep_layers} is more than the "
            f"language model's --num_layers={first.num_layers}."
        )
    is_adaptable = kind_of_architecture(first.architecture).is_adaptable
    if config.training.lora_rank and not is_adaptable:
        raise InputError(
            f"The classifier's --lora_rank={config.training.lora_rank} adapts the "
            f"layers of attention blocks, and --architecture={first.architecture} has "
            "none."
        )
    splits = load_splits(config.data, config.seed)
    written_teachers(read_unlabelled(config), splits.label_names)
    for teacher in load_teachers(config):
        classes_of(teacher, splits.label_names)

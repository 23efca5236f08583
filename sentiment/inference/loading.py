"""Loading a trained classifier, wherever it was saved."""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
from keras_hub.src.utils.preset_utils import load_json

from sentiment.bundled import bundled_presets, resolve
from sentiment.config import SpeedConfig
from sentiment.errors import InputError, is_out_of_memory
from sentiment.models.ensemble import Ensemble
from sentiment.models.huggingface import CONFIG_FILE, is_classifier
from sentiment.models.initial_weights import without_initial_weights
from sentiment.models.lora import load_adapter
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.models.packed_text_classifier_preprocessor import fit_sequence_length
from sentiment.models.presets import HANDLES, check_preset
from sentiment.models.saved_model import check_saved_model
from sentiment.runs.files import (
    METRICS_FILE,
    MODEL_FILE,
    STAGING_FOLDER,
    is_adapter,
)
from sentiment.runtime.process import prepare_process
from sentiment.runtime.threads import check_not_forked

TASK_FILE = "task.json"
HEAD_FILE = "task.weights.h5"
# What Keras and KerasHub write, whatever the model is.
MODEL_FILES = ("metadata.json", "config.json", "model.weights.h5")
PRESET_FILES = ("metadata.json", "config.json", TASK_FILE, HEAD_FILE)


def load_classifier(
    path: str | Path, speed: SpeedConfig | None = None
) -> PackedTextClassifier:
    """Loads a classifier with its preprocessor and label names.

    Args:
        path: a run's workdir, a `model.keras` file, a preset folder that
            `save_to_preset` wrote, an adapter (`load_adapter`), the name of a
            bundled classifier, or a classifier of Hugging Face's: a folder that
            transformers wrote, or a handle (`hf://user/model`).
        speed: fast paths and caches; by default those of `SpeedConfig`.

    Raises:
        InputError: nothing is there, the file is damaged, or it holds something
            else than a classifier; or this process is a fork, see `check_not_forked`.
    """
    check_not_forked()
    handle = str(path) if str(path).startswith(HANDLES) else ""
    path = Path(resolve(str(path)))
    speed = speed or SpeedConfig()
    prepare_process(speed)
    if not handle:
        path = _model_at(path)
    try:
        with without_initial_weights():
            classifier = _load_huggingface(handle) if handle else _load(path)
        if isinstance(classifier, PackedTextClassifier) and classifier.preprocessor:
            # Only now does a saved tokenizer have its vocabulary.
            fit_sequence_length(classifier.preprocessor, classifier.backbone)
    except ModuleNotFoundError:
        raise
    except InputError as error:
        if str(path) in str(error) or handle:
            raise
        raise InputError(f"{path} cannot be used: {error}") from error
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is incomplete ({error}). Train again or copy it again."
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"{path} cannot be loaded ({type(error).__name__}: {error}), although all "
            "of it can be read. Was it saved by another version of this package or of "
            "Keras? Otherwise something on this machine is in the way."
        ) from error
    if not isinstance(classifier, PackedTextClassifier):
        raise InputError(
            f"{path} holds a {type(classifier).__name__}, not a PackedTextClassifier."
        )
    if classifier.preprocessor is None:
        raise InputError(f"{path} was saved without preprocessor, so it reads no text.")
    classifier.speed = speed
    return classifier


def load_classifiers(
    paths: Sequence[str | Path], speed: SpeedConfig | None = None
) -> PackedTextClassifier | Ensemble:
    """Loads a classifier, or several that answer as one.

    Args:
        paths: of each, as of `load_classifier`.
        speed: see there.

    Raises:
        InputError: see `load_classifier` and `Ensemble`.
    """
    classifiers = [load_classifier(path, speed) for path in paths]
    return classifiers[0] if len(classifiers) == 1 else Ensemble(classifiers)


def _model_at(path: Path) -> Path:
    """What there is to load at a path: the model of a run's workdir, or the path."""
    try:
        is_there = path.exists()
    except OSError:  # a name that no file can have
        is_there = False
    if not is_there:
        known = ", ".join(
            name
            for name, folder in bundled_presets().items()
            if (folder / HEAD_FILE).is_file()
        )
        raise InputError(
            f"There is no model at {path}. Give the workdir of a training run, or the "
            f"name of a classifier that comes with this package: {known or 'none'}."
        )
    if not (path.is_dir() or path.is_file()):
        raise InputError(f"{path} is a pipe or a device. Give a file or a folder.")
    if path.is_dir() and (path / MODEL_FILE).is_file():
        if (path / STAGING_FOLDER).is_dir() and not (path / METRICS_FILE).exists():
            raise InputError(
                f"The run in {path} was stopped while its results were put in place, "
                "so they may be of two runs. The same command as before finishes it; "
                f"the model alone is {path / MODEL_FILE}."
            )
        path = path / MODEL_FILE
    return path


def _load(path: Path) -> PackedTextClassifier:
    if path.is_dir():
        return _load_preset(path)
    if is_adapter(path):
        return load_adapter(path)
    check_saved_model(path, MODEL_FILES)
    return keras.saving.load_model(path)


def _load_preset(folder: Path) -> PackedTextClassifier:
    if not (folder / TASK_FILE).is_file():
        if _is_huggingface(folder):
            return _load_huggingface(str(folder))
        raise InputError(
            f"The folder {folder} holds neither {MODEL_FILE} nor a classifier's preset "
            f"({TASK_FILE})."
        )
    if not (folder / HEAD_FILE).is_file():  # KerasHub would make a random head.
        raise InputError(
            f"The preset {folder} has no head ({HEAD_FILE}): it is a language model, "
            f"for `sentiment train --preset={folder}` to fine-tune, or incomplete."
        )
    check_saved_model(folder, PRESET_FILES)
    return PackedTextClassifier.from_preset(str(folder))


def _is_huggingface(folder: Path) -> bool:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config


def _load_huggingface(preset: str) -> PackedTextClassifier:
    check_preset(preset)
    if not is_classifier(load_json(preset, CONFIG_FILE)):
        raise InputError(
            f"The preset {preset} has no head for classification: it is for `sentiment "
            f"train --preset={preset}` to fine-tune."
        )
    return PackedTextClassifier.from_preset(preset)

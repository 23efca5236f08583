"""A smaller model out of a trained one, and what that costs."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from sentiment.bundled import resolve
from sentiment.compression.quantization import is_quantized, quantize
from sentiment.compression.trimming import check_trimmable, trim_vocabulary
from sentiment.config import CompressRunConfig, ModelConfig, RunConfig, UnlabelledConfig
from sentiment.data.datasets import load_split, open_source
from sentiment.data.examples import Examples
from sentiment.data.pipeline import encode_examples
from sentiment.errors import InputError
from sentiment.evaluation.evaluate import evaluate_encoded
from sentiment.evaluation.predictions import Predictions, text_keys, write_predictions
from sentiment.inference.loading import load_classifier
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.runs.files import (
    METRICS_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    PRESET_FOLDER,
)
from sentiment.runs.identity import NOT_COMPARED
from sentiment.runs.versions import versions
from sentiment.runs.workdir import Workdir, changed_flags
from sentiment.runtime.process import prepare_process
from sentiment.training.devices import device_name
from sentiment.training.results import TrainingWorkdir
from sentiment.training.train import train_and_evaluate

DISTILLATION_FOLDER = "distillation"
TIMED_TEXTS = 200
TIMED_ROUNDS = 3
MEGABYTE = 1e6  # bytes


class CompressionWorkdir(Workdir):
    """The results of a compression."""

    # With all that a training run leaves, so that nothing of an older run stays here.
    results = (*TrainingWorkdir.results[:-1], DISTILLATION_FOLDER, METRICS_FILE)

    @property
    def student(self) -> Path:
        """Where a student is trained, until all is done."""
        return self.checkpoints / DISTILLATION_FOLDER

    def save(
        self,
        config: CompressRunConfig,
        classifier: PackedTextClassifier,
        metrics: dict,
        predictions: Predictions,
    ):
        """Saves everything and moves it to its place.

        Args:
            config: of the compression.
            classifier: the smaller model.
            metrics: as of `compress`.
            predictions: of the smaller model; those of validation are not kept.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        with self.writing():
            self.clear_staging()
            classifier.save(self.staging / MODEL_FILE)
            classifier.save_to_preset(self.staging / PRESET_FOLDER)
            self.write_config_and_metrics(config, metrics)
            if metrics["split"] == "test":
                write_predictions(predictions, self.staging / PREDICTIONS_FILE)
            if self.student.exists():
                os.replace(self.student, self.staging / DISTILLATION_FOLDER)
            self.publish()


def compress(
    config: CompressRunConfig, workdir: str | Path, overwrite: bool = False
) -> dict:
    """Makes a model smaller, and measures it before and after.

    The folder then holds `model.keras` and `preset/`, an ordinary classifier, and
    `metrics.json`. Distillation also leaves its training run in `distillation/`, and
    goes on there if it was interrupted.

    Args:
        config: which model, how, and on which data it is measured.
        workdir: folder for the results; made if missing.
        overwrite: whether to replace the results of a finished run.

    Returns:
        What `metrics.json` holds: `before` and `after`, each with `accuracy`,
        `macro_f1`, `expected_calibration_error`, `megabytes` (10^6 bytes of
        model.keras) and `milliseconds_per_review` (median; from string to
        probability, in batches, the two models taking turns).

    Raises:
        InputError: anything the user can mend: settings, data, model, a finished run
            in `workdir`.
    """
    started = time.monotonic()
    model = os.path.realpath(resolve(config.compression.model))
    if os.path.realpath(workdir) in (model, os.path.dirname(model)):
        raise InputError(
            f"{workdir} holds the model that is to be compressed. Give another "
            "--workdir."
        )
    prepare_process(config.speed)
    with CompressionWorkdir(workdir).in_use(overwrite) as folder:
        if config.compression.method == "distill":
            _preset_of(config.compression.model)
        before = load_classifier(config.compression.model, config.speed)
        if is_quantized(before):
            raise InputError(
                f"{config.compression.model} is quantised already. Give the model that "
                "it was made of."
            )
        if config.compression.method == "vocab":
            check_trimmable(before)
        split = _measured_split(config, before)
        examples = _examples(config, split, before)  # Bad data are refused early.
        after = _compressed(config, before, folder)
        measured_before, _ = _measure(before, config, examples)
        # Read again, in this model's order of classes. A student has that of the data,
        # which draws the same validation rows as its training did.
        examples = _examples(config, split, after)
        measured_after, predictions = _measure(after, config, examples)
        milliseconds = milliseconds_per_review([before, after], examples.texts)
        metrics = {
            "method": config.compression.method,
            "split": split,
            "before": measured_before,
            "after": measured_after,
            "run": {
                "versions": versions(),
                "device": device_name(),
                "seconds": round(time.monotonic() - started, 1),
            },
        }
        for name, value in zip(("before", "after"), milliseconds, strict=True):
            metrics[name]["milliseconds_per_review"] = value
        folder.save(config, after, metrics, predictions)
    return metrics


def _measured_split(config: CompressRunConfig, classifier) -> str:
    """`test` or, where there is none, `validation`."""
    source = open_source(config.data, classifier.label_names)
    return "test" if "test" in source.splits else "validation"


def _examples(config: CompressRunConfig, split: str, classifier) -> Examples:
    """Labels are in the classifier's own order of classes."""
    return load_split(config.data, split, config.seed, classifier.label_names)


def _compressed(
    config: CompressRunConfig, before: PackedTextClassifier, folder: CompressionWorkdir
) -> PackedTextClassifier:
    settings = config.compression
    if settings.method == "distill":
        return _distilled(config, before, folder.student)
    if settings.method == "vocab":
        texts = [
            text
            for split in ("train", "validation")
            for text in _examples(config, split, before).texts
        ]
        return trim_vocabulary(before, texts, settings.min_token_count)
    classifier = load_classifier(settings.model, config.speed)  # is changed in place
    quantize(classifier, settings.method)
    return classifier


def _distilled(
    config: CompressRunConfig, teacher: PackedTextClassifier, workdir: Path
) -> PackedTextClassifier:
    """A student of fewer layers, which begins as layers of its teacher."""
    settings = config.compression
    num_layers = settings.keep_layers or max(1, teacher.backbone.num_layers // 2)
    reading = teacher.preprocessor.reading
    model = ModelConfig(
        preset=_preset_of(settings.model),
        keep_layers=num_layers,
        pooling=teacher.pooling,
        dropout=settings.dropout,
        sequence_length=reading["sequence_length"],
        truncation=reading["truncation"],
        lowercase=reading["lowercase"],
    )
    unlabelled = UnlabelledConfig(
        teacher=(settings.model,),
        teacher_weight=settings.teacher_weight,
        unlabelled_split=settings.unlabelled_split,
        unlabelled_file=settings.unlabelled_file,
    )
    run = RunConfig(
        config.data,
        model,
        config.training,
        config.speed,
        unlabelled,
        seed=config.seed,
    )
    if not (workdir / METRICS_FILE).exists():
        return train_and_evaluate(run, workdir).classifier
    changed = changed_flags(workdir, run, ignored=NOT_COMPARED)
    if changed:
        raise InputError(
            f"{workdir} holds a student of other settings. Give another --workdir, or "
            "--overwrite. New are:\n  " + "\n  ".join(changed)
        )
    return load_classifier(workdir, config.speed)


def _preset_of(model: str) -> str:
    """The preset folder beside a model, or that it is."""
    path = Path(resolve(model))
    for folder in (path / PRESET_FOLDER, path):
        if (folder / "config.json").is_file():
            return str(folder)
    raise InputError(
        "--method=distill begins with layers of the model's preset: give the workdir "
        f"of a run, or a preset folder. Received: --model={model}."
    )


def _measure(
    classifier: PackedTextClassifier, config: CompressRunConfig, examples: Examples
) -> tuple[dict, Predictions]:
    """Scores and size, and the predictions; labels are classes of the classifier."""
    encoded = encode_examples(classifier.preprocessor, examples, config.speed.cache_dir)
    evaluation = evaluate_encoded(classifier, encoded)
    names = ("accuracy", "macro_f1", "expected_calibration_error", "num_examples")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        classifier.save(path)
        megabytes = path.stat().st_size / MEGABYTE
    scores = {name: evaluation.metrics[name] for name in names}
    return {**scores, "megabytes": megabytes}, Predictions(
        text_keys(examples.texts),
        evaluation.labels,
        evaluation.probabilities,
        tuple(classifier.label_names),
    )


def milliseconds_per_review(
    classifiers: list[PackedTextClassifier], texts: list[str]
) -> list[float]:
    """The median time of each, the classifiers taking turns over the same texts."""
    texts = texts[:TIMED_TEXTS]
    seconds = [[] for _ in classifiers]
    for number in range(TIMED_ROUNDS + 1):
        for taken, classifier in zip(seconds, classifiers, strict=True):
            started = time.perf_counter()
            classifier.predict(texts, verbose=0)
            if number:  # The first round compiles.
                taken.append(time.perf_counter() - started)
    return [1000 * float(np.median(taken)) / len(texts) for taken in seconds]

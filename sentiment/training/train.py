"""The main job: train on reviews, evaluate, save."""

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from sentiment.config import RunConfig, TrainingConfig
from sentiment.data.datasets import Splits, load_splits
from sentiment.data.examples import Examples
from sentiment.data.packing import choose_row_length
from sentiment.data.pipeline import (
    BatchPlan,
    EncodedExamples,
    encode_examples,
)
from sentiment.errors import InputError
from sentiment.evaluation.calibration import fit_temperature
from sentiment.evaluation.evaluate import evaluate_encoded, scores_of
from sentiment.models.adversarial import Adversary
from sentiment.models.backbones import kind_of, kind_of_architecture
from sentiment.models.lora import check_adaptable, enable_lora, merge_lora, save_adapter
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.runs.versions import versions
from sentiment.runtime.process import prepare_process
from sentiment.training.build import build_classifier, prepare_parts
from sentiment.training.devices import device_name, sharding_scope
from sentiment.training.fitting import FitResult, OnEpoch, fit
from sentiment.training.results import TrainingWorkdir
from sentiment.training.resumable_run import OnUpdate
from sentiment.training.teachers import (
    copy_head,
    load_kept_head,
    load_teachers,
    soften,
)
from sentiment.training.unlabelled_texts import (
    UnlabelledTexts,
    label_unlabelled,
    read_unlabelled,
)

logger = logging.getLogger(__name__)

_FEW_MISTAKES = 10


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What `train_and_evaluate` leaves in memory.

    Attributes:
        classifier: the trained model, with the best epoch's weights.
        metrics: what `metrics.json` holds.
        history: one list of values per logged name, as in `history.csv`.
    """

    classifier: PackedTextClassifier
    metrics: dict
    history: dict[str, list[float]]


def train_and_evaluate(
    config: RunConfig,
    workdir: str | Path,
    overwrite: bool = False,
    on_update: OnUpdate | None = None,
) -> TrainingResult:
    """Trains a classifier, evaluates it and saves everything to `workdir`.

    The folder then holds `model.keras`, `preset/`, `metrics.json`,
    `history.csv`, `config.cfg` and `plots/`. Until then there are checkpoints, from
    which the same call goes on. The same config gives the same run, interrupted or
    not, unless its loss diverges: then it goes back to the last checkpoint.

    Args:
        config: what to train on, what and how.
        workdir: folder for the results; made if missing.
        overwrite: whether to replace the results of a finished run.
        on_update: is called with the number of updates made, after each of them and
            before a checkpoint is written; the weights cannot be read meanwhile. May
            raise to stop: the same call goes on from the last checkpoint.

    Raises:
        InputError: anything the user can mend: settings, data, preset, a
            finished run in `workdir`, a loss that diverges.
    """
    started = time.monotonic()
    prepare_process(config.speed)
    with TrainingWorkdir(workdir).in_use(overwrite) as folder:
        return _train_and_evaluate(config, folder, started, on_update)


def train_and_validate(
    config: RunConfig,
    checkpoints: str | Path,
    on_epoch: OnEpoch | None = None,
    on_update: OnUpdate | None = None,
) -> dict:
    """Trains as `train_and_evaluate` does; the test data are not predicted.

    Args:
        config: what to train on, what and how.
        checkpoints: folder that an interrupted run goes on from.
        on_epoch: see `fit`.
        on_update: see `fit`.

    Returns:
        The validation scores, as of `classification_metrics`.

    Raises:
        Diverged: the loss does.
        InputError: anything else that the user can mend.
    """
    prepare_process(config.speed)
    with sharding_scope(config.training):
        trained = _train(config, checkpoints, on_epoch, on_update)
        return evaluate_encoded(trained.classifier, trained.validation).metrics


@dataclass(frozen=True, eq=False)
class _Trained:
    """What `_train` made, and what of; an adapter is merged and can be written."""

    classifier: PackedTextClassifier
    write_adapter: Callable[[Path], None] | None
    num_trained_parameters: int
    fitted: FitResult
    splits: Splits
    train: EncodedExamples
    validation: EncodedExamples
    unlabelled: UnlabelledTexts | None
    plan: BatchPlan
    encode: Callable[[Examples], EncodedExamples]


def _train(
    config: RunConfig,
    checkpoints: str | Path,
    on_epoch: OnEpoch | None = None,
    on_update: OnUpdate | None = None,
) -> _Trained:
    """Reads the data and trains, within a `sharding_scope`."""
    keras.utils.set_random_seed(config.seed)
    unlabelled_texts, teachers = read_unlabelled(config), load_teachers(config)
    # Before labelled data, which may take minutes.
    pretrained = prepare_parts(config.model, config.training.dtype)
    _check_kind(config, pretrained)
    kept_head = load_kept_head(config.model)
    splits = load_splits(config.data, config.seed)
    _log_splits(splits)
    class_weight = _class_weight(config.training, splits)
    unlabelled = label_unlabelled(config, splits, unlabelled_texts, teachers)
    softened = soften(config, splits, teachers)
    classifier = build_classifier(
        config.model,
        config.training.dtype,
        splits,
        pretrained,
        config.speed.cache_dir,
        like=kept_head,
    )
    if kept_head is not None:
        copy_head(classifier, kept_head)
    elif config.model.keep_layers and len(teachers) == 1:
        copy_head(classifier, teachers[0])
    del teachers, kept_head  # and their weights
    classifier.speed = config.speed
    training = config.training
    if training.lora_rank:
        enable_lora(
            classifier,
            training.lora_rank,
            training.lora_targets,
            training.lora_alpha or None,
        )
    encode = functools.partial(
        encode_examples,
        classifier.preprocessor,
        cache_dir=config.speed.cache_dir,
    )
    train, validation = encode(softened), encode(splits.validation)
    if unlabelled is not None:
        train = train.joined_with(encode(unlabelled.examples), unlabelled.weight)
    adversary = _adversary(config, classifier, train)
    if adversary:
        logger.info(
            f"--adversarial={config.adversarial.adversarial}: an update costs "
            f"{adversary.cost:.1f} times a plain one."
        )
    plan = _plan(config, classifier, train, validation)
    fitted = fit(
        classifier,
        config,
        plan,
        validation,
        class_weight,
        checkpoints,
        on_epoch,
        on_update,
        adversary,
    )
    if training.calibrate:
        _calibrate(classifier, validation)
    num_trained = sum(v.value.size for v in classifier.trainable_variables)
    write_adapter = None
    if training.lora_rank:
        write_adapter = functools.partial(save_adapter, classifier, config.model)
        classifier = merge_lora(classifier)
    return _Trained(
        classifier,
        write_adapter,
        num_trained,
        fitted,
        splits,
        train,
        validation,
        unlabelled,
        plan,
        encode,
    )


def _train_and_evaluate(
    config: RunConfig,
    folder: TrainingWorkdir,
    started: float,
    on_update: OnUpdate | None,
) -> TrainingResult:
    with sharding_scope(config.training):
        trained = _train(config, folder.checkpoints, on_update=on_update)
        classifier, splits = trained.classifier, trained.splits
        folder.save_classifier(classifier, trained.write_adapter)

        encode, test = trained.encode, splits.test
        evaluations = {
            "validation": evaluate_encoded(classifier, trained.validation),
            "test": test and evaluate_encoded(classifier, encode(test)),
        }
        device = device_name()
    fitted, unlabelled = trained.fitted, trained.unlabelled
    train, plan = trained.train, trained.plan
    best_epoch, history = fitted.averaged_epochs[0], fitted.history
    metrics, predictions = scores_of(evaluations, splits)
    metrics["run"] = {
        "seed": config.seed,
        "versions": versions(),
        "device": device,
        "seconds": round(time.monotonic() - started, 1),
        "tokens_read": int(train.tokens.lengths.sum()),
        "tokens_dropped": train.num_dropped,
        "fill_ratio": plan.fill_ratio,
        "row_length": plan.row_length,
        "training_seconds": round(fitted.seconds, 1),
        "best_epoch": best_epoch,
        "averaged_epochs": fitted.averaged_epochs,
        "num_recoveries": fitted.num_recoveries,
        "temperature": classifier.temperature,
        "num_epochs": len(history["epoch"]),
        "num_updates": len(history["epoch"]) * plan.num_batches,
        "num_parameters": classifier.count_params(),
        "num_trained_parameters": trained.num_trained_parameters,
        "num_train_examples": len(splits.train),
        "num_skipped_rows": splits.num_skipped_rows,
    }
    if unlabelled is not None:
        metrics["unlabelled"] = {
            "num_examples": len(unlabelled.examples),
            "num_excluded": unlabelled.num_excluded,
            "num_repeated": unlabelled.num_repeated,
            "num_mixed": unlabelled.num_mixed,
            "num_skipped_rows": unlabelled.num_skipped_rows,
        }
    folder.save_results(config, metrics, history, evaluations, best_epoch, predictions)
    return TrainingResult(classifier, metrics, history)


def _calibrate(classifier: PackedTextClassifier, validation: EncodedExamples):
    """Sets the temperature that fits the validation data."""
    predicted = evaluate_encoded(classifier, validation).probabilities
    classifier.temperature = fit_temperature(predicted, validation.labels)
    num_wrong = int((predicted.argmax(axis=1) != validation.labels).sum())
    logger.info(f"--calibrate: a temperature of {classifier.temperature:.3f}.")
    if num_wrong < _FEW_MISTAKES:
        logger.warning(
            f"--calibrate rests on {num_wrong} mistakes among {len(validation):,} "
            "validation examples, which say little of how sure to be. Hold out more: "
            "--validation_fraction, or a larger --validation_file."
        )


def _adversary(
    config: RunConfig, classifier: PackedTextClassifier, train: EncodedExamples
) -> Adversary | None:
    if config.adversarial.adversarial == "none":
        return None
    frequencies = np.bincount(
        train.tokens.flat, minlength=classifier.backbone.vocabulary_size
    )
    return Adversary(config.adversarial, frequencies, config.seed)


def _plan(
    config: RunConfig,
    classifier: PackedTextClassifier,
    train: EncodedExamples,
    validation: EncodedExamples,
) -> BatchPlan:
    training = config.training
    return BatchPlan(
        train,
        training.batch_size * training.gradient_accumulation_steps,
        _row_length(training, classifier, train, validation),
        training.packing,
        config.seed,
    )


def _row_length(training: TrainingConfig, classifier, train, validation) -> int:
    lengths = np.concatenate([train.tokens.lengths, validation.tokens.lengths])
    longest = int(lengths.max())
    if training.row_length == 0:
        backbone = classifier.backbone
        return choose_row_length(
            lengths,
            classifier.preprocessor.sequence_length if training.packing else longest,
            backbone.hidden_dim,
            backbone.intermediate_dim,
        )
    if training.row_length < longest:
        raise InputError(
            f"--row_length must be at least {longest}, the tokens of the longest "
            f"review. Received: {training.row_length}. --sequence_length cuts reviews."
        )
    return training.row_length


def _check_kind(config: RunConfig, pretrained):
    """What a kind of backbone cannot do is refused before data are read."""
    if pretrained is None:
        kind = kind_of_architecture(config.model.architecture)
    else:
        kind = kind_of(pretrained[0])
    kind.check_pooling(config.model.pooling)
    if config.training.lm_loss_weight:
        kind.check_causal("--lm_loss_weight")
    if config.training.lora_rank:
        check_adaptable(pretrained[0], config.training.lora_targets)


def _class_weight(config: TrainingConfig, splits: Splits) -> list[float] | None:
    num_classes = len(splits.label_names)
    if config.class_weight == ("none",):
        return None
    if config.class_weight == ("balanced",):
        weights = np.ones(num_classes)
        present = np.unique(splits.train.labels)
        weights[present] = compute_class_weight(
            "balanced", classes=present, y=splits.train.labels
        )
        return weights.tolist()
    weights = config.class_weight_values()
    if len(weights) != num_classes:
        raise InputError(
            f"--class_weight must hold {num_classes} numbers, one for each of "
            f"{', '.join(splits.label_names)}. Received: {len(weights)}."
        )
    return list(weights)


def _log_splits(splits: Splits):
    sizes = [
        f"{len(examples):,} {name}"
        for name, examples in (
            ("train", splits.train),
            ("validation", splits.validation),
            ("test", splits.test),
        )
        if examples is not None
    ]
    logger.info(f"{', '.join(sizes)}; classes {', '.join(splits.label_names)}.")

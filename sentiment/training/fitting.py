"""Fitting a classifier with early stopping."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras

from sentiment.config import MONITORS, RunConfig
from sentiment.data.pipeline import BatchPlan, EncodedExamples, batches
from sentiment.models.adversarial import Adversary
from sentiment.models.backbones import kind_of
from sentiment.models.losses import ReviewCrossentropy
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.runs.identity import identity
from sentiment.training.callbacks import KeepBest, LearningRateLogger, ProgressBar
from sentiment.training.optimizers import make_optimizer
from sentiment.training.resumable_run import OnUpdate, ResumableRun

OnEpoch = Callable[[int, float], None]  # of an epoch, from 1, and its monitored score


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """How training went.

    Attributes:
        history: one list of values per logged name: `epoch` (from 1),
            `learning_rate` of the epoch's last update, every loss and metric.
        averaged_epochs: those whose weights, or whose mean weights, the classifier has;
            counted from 1, the best first.
        seconds: spent in training, in all processes of the run.
        num_recoveries: how often the loss diverged and training went back.
    """

    history: dict[str, list[float]]
    averaged_epochs: list[int]
    seconds: float
    num_recoveries: int


def fit(
    classifier: PackedTextClassifier,
    config: RunConfig,
    plan: BatchPlan,
    validation: EncodedExamples,
    class_weight: list[float] | None = None,
    checkpoints: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_update: OnUpdate | None = None,
    adversary: Adversary | None = None,
) -> FitResult:
    """Trains with early stopping; the best weights stay.

    Args:
        classifier: is trained in place.
        config: the run's settings.
        plan: the training batches; each is one optimizer update.
        validation: decides the best epoch.
        class_weight: loss weight of each class.
        checkpoints: folder to go on from and to write to; `None`: neither.
        on_epoch: is called with each epoch, counted from 1, and its monitored score;
            after an interruption again with the earlier ones. May raise to stop.
        on_update: is called with the number of updates made, after each of them and
            before a checkpoint is written. May raise to stop.
        adversary: its loss is added.

    Raises:
        InputError: see `ResumableRun.train`.
        SystemExit: likewise.
    """
    training = config.training
    classifier.compile(
        make_optimizer(
            training,
            kind_of(classifier.backbone),
            classifier.backbone.num_layers,
            plan.num_batches * training.epochs,
            round(training.unfreeze_epochs * plan.num_batches),
            training.ema_momentum,
        ),
        ReviewCrossentropy(
            training.label_smoothing, class_weight, training.focal_gamma
        ),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        adversary=adversary,
        lm_loss_weight=training.lm_loss_weight,
    )
    run = _Fit(classifier, config, plan, validation, checkpoints, on_epoch, on_update)
    run.train()
    averaged = set_best_weights(classifier, run.best, run.validation_plan)
    state = run.state
    # Frees the optimizer's slots, three times the weights, and keeps them out
    # of the saved model; takes back what was added to the loss.
    classifier.compile()
    return FitResult(state.history, averaged, state.seconds, state.num_recoveries)


class _Fit(ResumableRun):
    """One run of `fit`, whose sections are epochs."""

    def __init__(
        self, classifier, config, plan, validation, checkpoints, on_epoch, on_update
    ):
        training = config.training
        monitor = MONITORS[training.monitor]
        preprocessor = classifier.preprocessor.fingerprint
        super().__init__(
            classifier,
            training,
            plan,
            validation,
            plan.num_batches,
            identity(config, preprocessor, plan.examples, validation),
            checkpoints,
            KeepBest(
                monitor.logged_name,
                monitor.mode,
                training.early_stopping_patience,
                training.average_best,
            ),
            on_update,
        )
        self.on_epoch = on_epoch

    def callbacks(self, step):
        num_tokens = int(self.plan.examples.tokens.lengths.sum())
        callbacks = [
            LearningRateLogger(),
            ProgressBar(num_tokens, step, epochs=self.training.epochs),
            self.best,
        ]
        if self.training.ema_momentum:
            # After `best`, which takes the weights that were validated.
            callbacks.append(keras.callbacks.SwapEMAWeights())
        return callbacks

    def history_row(self, logs):
        epoch = self.state.done // self.section
        return {"epoch": epoch, "learning_rate": logs["learning_rate"], **logs}

    def on_history(self, first):
        if self.on_epoch:
            values = self.state.history.get(self.best.monitor, ())
            for index in range(first, len(values)):
                self.on_epoch(index + 1, float(values[index]))


def set_best_weights(
    model: keras.Model, best: KeepBest, validation_plan: BatchPlan
) -> list[int]:
    """Gives a model the best epoch's weights, or an average of the best.

    The average of several is taken if it validates no worse than the best of them.

    Args:
        model: the trained model.
        best: has kept the weights.
        validation_plan: what is validated on.

    Returns:
        The epochs whose weights it has, from 1, the best first.
    """
    epochs = [kept.epoch + 1 for kept in best.kept]
    if len(epochs) > 1:
        model.set_weights(best.averaged())
        logs = model.evaluate(
            batches(validation_plan),
            steps=validation_plan.num_batches,
            verbose=0,
            return_dict=True,
        )
        if not best.is_worse(logs[best.monitor.removeprefix("val_")]):
            return epochs
    model.set_weights(best.kept[0].weights)
    return epochs[:1]

"""Fitting a classifier, from wherever an interrupted run has left it.

The state of a run is a function of the number of updates made: weights, optimizer,
random states and metrics so far are in the checkpoint, the data follow from the
number. So a run that goes on from any checkpoint ends with the same weights, bit for
bit, as one that was never interrupted.
"""

import dataclasses
import time
from pathlib import Path

import keras

from sentiment.config import RunConfig
from sentiment.data.pipeline import (
    BatchPlan,
    EncodedExamples,
    batches,
    batches_of,
    planned_rows,
)
from sentiment.errors import InputError
from sentiment.models.gpt2_text_classifier import GPT2TextClassifier
from sentiment.models.losses import ReviewCrossentropy
from sentiment.training.callbacks import (
    Diverged,
    KeepBest,
    LeaveOnSignal,
    LearningRateLogger,
    ProgressBar,
    StopOnDivergence,
)
from sentiment.training.checkpoints import Checkpoints, set_state, state_of
from sentiment.training.optimizers import make_optimizer
from sentiment.training.resuming import check_same_run, identity

MONITORED = {
    "accuracy": ("val_accuracy", "max"),
    "macro_f1": ("val_macro_f1", "max"),
    "loss": ("val_cross_entropy", "min"),
}
RATE_AFTER_DIVERGENCE = 0.5  # of the rate before


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """How training went.

    Attributes:
        history: one list of values per logged name: `epoch` (from 1),
            `learning_rate` of the epoch's last update, every loss and metric.
        best_epoch: whose weights the classifier has.
        seconds: of all sittings.
        num_recoveries: how often the loss diverged and training went back.
    """

    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    num_recoveries: int


def fit(
    classifier: GPT2TextClassifier,
    config: RunConfig,
    plan: BatchPlan,
    validation: EncodedExamples,
    class_weight: list[float] | None = None,
    checkpoints: str | Path | None = None,
) -> FitResult:
    """Trains with early stopping; the best weights stay.

    Args:
        classifier: is trained in place.
        config: the run's settings.
        plan: the training batches; each is one optimizer update.
        validation: decides the best epoch.
        class_weight: loss weight of each class.
        checkpoints: folder to go on from and to write to; `None`: neither.

    Raises:
        InputError: the loss diverges more often than may be, checkpoints are of
            another run, or cannot be written.
        SystemExit: the process was asked to leave; the state is saved.
    """
    training = config.training
    classifier.compile(
        make_optimizer(
            training,
            classifier.backbone.num_layers,
            plan.num_batches * training.epochs,
            round(training.unfreeze_epochs * plan.num_batches),
        ),
        ReviewCrossentropy(
            training.label_smoothing, class_weight, training.focal_gamma
        ),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
    )
    run = _Fit(classifier, config, plan, validation, checkpoints)
    result = run.fit()
    # Frees the optimizer's slots, three times the weights, and keeps them out
    # of the saved model.
    classifier.compile()
    return result


class _Fit:
    """One run of `fit`, over all its sittings."""

    def __init__(self, classifier, config, plan, validation, checkpoints):
        training = config.training
        self.classifier, self.training, self.plan = classifier, training, plan
        self.validation_plan = dataclasses.replace(
            plan, examples=validation, batch_rows=training.batch_size, seed=None
        )
        self.rows = _SkippingRows(planned_rows(plan, training.epochs))
        monitor, mode = MONITORED[training.monitor]
        self.best = KeepBest(
            monitor, mode, training.early_stopping_patience, training.average_best
        )
        self.saver = _Saver(self, training.checkpoint_every)
        self.history: dict[str, list[float]] = {}
        self.num_recoveries = 0
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.checkpoints = checkpoints and Checkpoints(checkpoints)
        groups = (
            config.data,
            config.model,
            config.training,
            config.unlabelled,
            config.adversarial,
            config.speed,
        )
        self.identity = identity(config, groups, plan)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def fit(self) -> FitResult:
        classifier = self.classifier
        classifier.optimizer.build(classifier.trainable_variables)
        classifier.reset_metrics()
        done = 0
        if self.checkpoints and self.checkpoints.latest is not None:
            done = self._go_on()
            print(f"Going on after update {done:,}.")
        while True:
            try:
                self._fit_from(done)
                break
            except Diverged as error:
                done = self._go_back(error)
        best_epoch = self._take_best()
        if self.checkpoints:
            self.checkpoints.close()
        return FitResult(self.history, best_epoch, self.seconds, self.num_recoveries)

    def _fit_from(self, done: int):
        """Trains to the end: the rest of an epoch, then whole ones."""
        epoch, step = divmod(done, self.plan.num_batches)
        if self.best.is_over:
            return
        if step:
            self._fit_epochs(epoch, epoch + 1, step)
            epoch += 1
        if epoch < self.training.epochs and not self.best.is_over:
            self._fit_epochs(epoch, self.training.epochs)

    def _fit_epochs(self, first: int, stop: int, step: int = 0):
        size = self.plan.num_batches
        part = slice(first * size + step, stop * size)
        num_validations = stop - first
        self.saver.start(step, self.classifier)
        self.classifier.fit(
            batches_of(self.plan, self.rows, part),
            initial_epoch=first,
            epochs=stop,
            steps_per_epoch=size - step,
            validation_data=batches(self.validation_plan, num_validations),
            validation_steps=self.validation_plan.num_batches,
            shuffle=False,
            verbose=0,
            callbacks=self._callbacks(step),
        )

    def _callbacks(self, step: int) -> list[keras.callbacks.Callback]:
        callbacks = [
            LearningRateLogger(),
            ProgressBar(
                int(self.plan.examples.tokens.lengths.sum()),
                first_step=step,
            ),
            StopOnDivergence(first_step=step),
            self.best,
        ]
        if self.training.ema_momentum:
            # After `best`, which takes the weights that were validated.
            callbacks.append(keras.callbacks.SwapEMAWeights())
        return [*callbacks, self.saver, LeaveOnSignal(self.saver)]

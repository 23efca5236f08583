"""Fitting a classifier, from wherever an interrupted run has left it.

The state of a run is a function of the number of updates made: weights, optimizer,
random states and metrics so far are in the checkpoint, the data follow from the
number. So a run that goes on from any checkpoint ends with the same weights, bit for
bit, as one that was never interrupted.
"""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grain
import keras
import numpy as np

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

Report = Callable[[int, float], None]  # of an epoch, from 1, and its monitored score


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """How training went.

    Attributes:
        history: one list of values per logged name: `epoch` (from 1),
            `learning_rate` of the epoch's last update, every loss and metric.
        averaged_epochs: whose weights the classifier has, from 1, the best first.
        seconds: of all sittings.
        num_recoveries: how often the loss diverged and training went back.
    """

    history: dict[str, list[float]]
    averaged_epochs: list[int]
    seconds: float
    num_recoveries: int


def fit(
    classifier: GPT2TextClassifier,
    config: RunConfig,
    plan: BatchPlan,
    validation: EncodedExamples,
    class_weight: list[float] | None = None,
    checkpoints: str | Path | None = None,
    report: Report | None = None,
) -> FitResult:
    """Trains with early stopping; the best weights stay.

    Args:
        classifier: is trained in place.
        config: the run's settings.
        plan: the training batches; each is one optimizer update.
        validation: decides the best epoch.
        class_weight: loss weight of each class.
        checkpoints: folder to go on from and to write to; `None`: neither.
        report: is told the monitored score of each epoch, and again those of epochs
            before a checkpoint that training goes on from; may raise to stop it.

    Raises:
        Diverged: the loss diverges more often than may be.
        InputError: checkpoints are of another run, or cannot be written.
        SystemExit: the process was asked to leave; the state is saved.
    """
    training = config.training
    classifier.compile(
        make_optimizer(
            training,
            classifier.backbone.num_layers,
            plan.num_batches * training.epochs,
            round(training.unfreeze_epochs * plan.num_batches),
            training.ema_momentum,
        ),
        ReviewCrossentropy(
            training.label_smoothing, class_weight, training.focal_gamma
        ),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
    )
    run = _Fit(classifier, config, plan, validation, checkpoints, report)
    try:
        result = run.fit()
    except BaseException:
        if run.checkpoints:  # What is being written is finished first.
            with contextlib.suppress(InputError):
                run.checkpoints.close()
        raise
    classifier.adversary = None
    # Frees the optimizer's slots, three times the weights, and keeps them out
    # of the saved model.
    classifier.compile()
    return result


class _Fit:
    """One run of `fit`, over all its sittings."""

    def __init__(self, classifier, config, plan, validation, checkpoints, report=None):
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
        self.report = report
        self.num_recoveries = 0
        self.first_loss: float | None = None
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.checkpoints = checkpoints and Checkpoints(checkpoints)
        reader = classifier.preprocessor.fingerprint
        self.identity = identity(
            config, config.groups, reader, plan.examples, validation
        )

    @property
    def seconds(self) -> float:
        """Of training, over all sittings."""
        return self.seconds_before + time.monotonic() - self.started

    def fit(self) -> FitResult:
        """Trains to the end and takes the best weights."""
        classifier, checkpoints = self.classifier, self.checkpoints
        classifier.optimizer.build(classifier.trainable_variables)
        done = 0
        if checkpoints and checkpoints.latest is not None:
            done = self._go_on()
            print(f"Going on after update {done:,}.")
            self.tell(0)
        elif self.is_long:
            self.save(0)
        with self.saver.asked_by_signal():
            while True:
                try:
                    self._fit_from(done)
                    break
                except Diverged as error:
                    done = self._go_back(error)
        averaged = self._take_best()
        if checkpoints:
            checkpoints.close()
        return FitResult(self.history, averaged, self.seconds, self.num_recoveries)

    def tell(self, first: int):
        """Reports the epochs of the history from index `first` on."""
        if self.report:
            values = self.history.get(self.best.monitor, ())
            for index in range(first, len(values)):
                self.report(index + 1, float(values[index]))

    @property
    def is_long(self) -> bool:
        """Whether there are checkpoints on the way."""
        return bool(self.checkpoints) and len(self.rows) >= self.saver.every

    def _fit_from(self, done: int):
        """Trains to the end: the rest of an epoch, then whole ones."""
        epoch, step = divmod(done, self.plan.num_batches)
        if step and not self.best.is_over:
            self._fit_epochs(epoch, epoch + 1, step)
            epoch += 1
        if epoch < self.training.epochs and not self.best.is_over:
            self._fit_epochs(epoch, self.training.epochs)

    def _fit_epochs(self, first: int, stop: int, step: int = 0):
        """Trains epochs `first` to `stop`, the first of them from `step` on."""
        size = self.plan.num_batches
        self.saver.first_step = step
        self.saver.watch = StopOnDivergence(
            first_step=step, updates_per_epoch=size, first_loss=self.first_loss
        )
        num_tokens = int(self.plan.examples.tokens.lengths.sum())
        callbacks = [
            LearningRateLogger(),
            ProgressBar(num_tokens, step, epochs=self.training.epochs),
            self.saver.watch,
            self.best,
        ]
        if self.training.ema_momentum:
            # After `best`, which takes the weights that were validated.
            callbacks.append(keras.callbacks.SwapEMAWeights())
        self.classifier.fit(
            batches_of(self.plan, self.rows, slice(first * size + step, stop * size)),
            initial_epoch=first,
            epochs=stop,
            steps_per_epoch=size - step,
            validation_data=batches(self.validation_plan, stop - first),
            validation_steps=self.validation_plan.num_batches,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks, self.saver],
        )
        self.first_loss = self.saver.watch.first_loss

    def save(self, done: int):
        """Begins to write a checkpoint after `done` updates."""
        metrics = [
            np.array(v.value).tolist() for v in self.classifier.metrics_variables
        ]
        about = {
            **self.identity,
            "history": self.history,
            "seconds": self.seconds,
            "best": self.best.about(),
            "metrics": metrics,
            "skipped": sorted(self.rows.skipped),
            "num_recoveries": self.num_recoveries,
            "first_loss": self.saver.watch and self.saver.watch.first_loss,
        }
        state = {"model": [v.value for v in state_of(self.classifier)]}
        self.checkpoints.save(done, state | self.best.weights(), about)

    def _go_on(self) -> int:
        """Sets everything to the newest checkpoint; the updates made."""
        classifier, best = self.classifier, self.best
        about = self.checkpoints.about()
        check_same_run(about, self.identity, self.checkpoints.folder)
        variables = state_of(classifier)
        like = {"model": variables, **best.weights_like(about["best"], classifier)}
        state = self.checkpoints.restore(like)
        set_state(variables, state.pop("model"))
        best.set(about["best"], state)
        self.history, self.seconds_before = about["history"], about["seconds"]
        self.started = time.monotonic()
        self.rows.skipped = set(about["skipped"])
        self.num_recoveries = about["num_recoveries"]
        self.first_loss = about["first_loss"]
        self.saver.metrics = about["metrics"]
        return self.checkpoints.latest

    def _go_back(self, error: Diverged) -> int:
        """To the last checkpoint, with a lower rate and without those batches."""
        num_recoveries = self.num_recoveries + 1
        if num_recoveries > self.training.max_recoveries or not self.is_long:
            raise error
        self.checkpoints.wait()
        seconds = self.seconds
        skipped = self.rows.skipped | set(error.updates)
        done = self._go_on()
        self.rows.skipped, self.num_recoveries = skipped, num_recoveries
        self.seconds_before = seconds
        factor = RATE_AFTER_DIVERGENCE**num_recoveries
        self.classifier.optimizer.rate_factor.assign(factor)
        print(
            f"The loss became {error.loss} in updates {error.updates[0] + 1:,} to "
            f"{error.updates[-1] + 1:,}. Back to update {done:,}, without these "
            f"batches, at {factor:g} of the learning rate "
            f"({num_recoveries} of {self.training.max_recoveries} times)."
        )
        return done

    def _take_best(self) -> list[int]:
        """Gives the classifier the best epoch's weights, or an average of the best.

        Returns:
            The epochs whose weights it has, from 1, the best first.
        """
        classifier, best = self.classifier, self.best
        classifier.set_weights(best.kept[0].weights)
        epochs = [kept.epoch + 1 for kept in best.kept]
        if len(epochs) == 1:
            return epochs
        classifier.set_weights(best.averaged())
        logs = classifier.evaluate(
            batches(self.validation_plan),
            steps=self.validation_plan.num_batches,
            verbose=0,
            return_dict=True,
        )
        value = logs[best.monitor.removeprefix("val_")]
        if not best.is_worse(value):
            return epochs
        classifier.set_weights(best.kept[0].weights)
        return epochs[:1]


class _Saver(keras.callbacks.Callback):
    """Keeps the history, writes checkpoints, and leaves when asked to."""

    def __init__(self, run: _Fit, every: int):
        super().__init__()
        self.run, self.every = run, every
        self.first_step = 0  # of the epoch that a call of `fit` begins with
        self.metrics = None  # to go on from
        self.watch: StopOnDivergence | None = None
        self.is_asked = False

    @contextlib.contextmanager
    def asked_by_signal(self):
        """While this holds, SIGTERM saves before it ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Signals are the main thread's.
            return

        def ask(*_):
            self.is_asked = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.first_step:  # The epoch goes on, and so do its means.
            values = map(np.float32, self.metrics)
            set_state(self.model.metrics_variables, list(values))

    def on_train_batch_end(self, batch, logs=None):
        step, size = self.first_step + batch + 1, self.run.plan.num_batches
        done = self.epoch * size + step
        if step < size and (self.is_asked or done % self.every == 0):
            self.model.jax_state_sync()
            # The newest update shows in no loss yet.
            is_finite = all(np.isfinite(w).all() for w in self.model.get_weights())
            self.watch.check(batch + 1, float(logs["loss"]) if is_finite else math.nan)
            self._save(done)

    def on_epoch_end(self, epoch, logs=None):
        self.first_step = 0
        row = {"epoch": epoch + 1, "learning_rate": logs["learning_rate"], **logs}
        for name, value in row.items():
            self.run.history.setdefault(name, []).append(value)
        if self.is_asked or self.run.is_long:
            self._save((epoch + 1) * self.run.plan.num_batches)
        self.run.tell(epoch)  # Last: it may raise, and leaving comes first.

    def _save(self, done: int):
        if self.run.checkpoints:
            self.run.save(done)
        if not self.is_asked:
            return
        if self.run.checkpoints:
            self.run.checkpoints.wait()
            print(
                f"Saved after update {done:,}. The same command goes on from there; "
                "leave out --overwrite if you gave it."
            )
        raise SystemExit(128 + signal.SIGTERM)


class _SkippingRows(grain.sources.RandomAccessDataSource):
    """Rows of each batch; none for those that are skipped."""

    def __init__(self, rows: Sequence[list[np.ndarray]]):
        self._rows = rows
        self.skipped: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[np.ndarray]:
        return [] if index in self.skipped else self._rows[index]

    def __repr__(self) -> str:
        return f"_SkippingRows({self._rows!r}, without {sorted(self.skipped)})"

"""A run of updates that continues from wherever it was interrupted.

The state of a run is a function of the number of updates made: weights, optimizer,
random states and metrics so far are in the checkpoint, the data follow from the
number. So a run that continues from any checkpoint ends with the same weights, bit for
bit, as one that was never interrupted, unless its loss diverges.
"""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import grain
import keras
import numpy as np
from tqdm.auto import tqdm

from sentiment.config import OptimizationConfig
from sentiment.data.pipeline import (
    BatchPlan,
    EncodedExamples,
    batches,
    batches_of,
    planned_rows,
)
from sentiment.errors import InputError
from sentiment.runs.identity import check_same_run
from sentiment.training.callbacks import Diverged, StopOnDivergence
from sentiment.training.checkpoints import Checkpoints, set_state, state_of

RATE_AFTER_DIVERGENCE = 0.5  # of the rate before
# After so long without a checkpoint, the next update or validation writes one, so that
# a slow machine loses little, too. When checkpoints are written changes no result,
# except in a run that diverges: it goes back to the last one.
CHECKPOINT_SECONDS = 600


class ResumableRun:
    """Training in as many processes as interruptions make of it.

    A subclass says what is kept and shown. Updates come in sections of one length; only
    the last one may be shorter.
    Each ends with a validation and a line of the history.

    Args:
        model: a compiled Keras model, trained in place.
        training: the settings.
        plan: the training batches; each is one optimizer update.
        validation: what each section is validated on.
        section: updates in a section.
        identity: of the run, see `resuming`.
        checkpoints: folder to go on from and to write to; `None`: neither.

    Attributes:
        history: one list of values per logged name.
        num_recoveries: how often the loss diverged and training went back.
        is_over: whether training stops before its last update.
    """

    counts_epochs = True  # in messages; else updates alone
    is_over = False

    def __init__(
        self,
        model: keras.Model,
        training: OptimizationConfig,
        plan: BatchPlan,
        validation: EncodedExamples,
        section: int,
        identity: dict,
        checkpoints: str | Path | None,
    ):
        self.model, self.training, self.plan = model, training, plan
        self.section, self.identity = section, identity
        self.validation_plan = dataclasses.replace(
            plan, examples=validation, batch_rows=training.batch_size, seed=None
        )
        self.rows = _SkippingRows(planned_rows(plan, training.epochs))
        self.saver = _Saver(self, training.checkpoint_every)
        self.history: dict[str, list[float]] = {}
        self.num_recoveries = 0
        self.first_loss: float | None = None
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.checkpoints = checkpoints and Checkpoints(checkpoints)

    # What a subclass gives.

    def callbacks(self, step: int) -> list[keras.callbacks.Callback]:
        """Callbacks of a call of `fit` that begins at `step` of a section."""
        raise NotImplementedError

    def report(self, done: int, logs: dict) -> dict[str, float]:
        """What the history holds of the section that ends with update `done`."""
        raise NotImplementedError

    def tell(self, first: int):
        """Is called when the history has new sections, from index `first` on.

        After an interruption it is called again with those before the checkpoint. May
        raise to stop training.
        """

    def further_about(self) -> dict:
        """What else a checkpoint says, as JSON."""
        return {}

    def further_state(self) -> dict[str, list]:
        """What else a checkpoint holds, as groups of arrays."""
        return {}

    def further_state_like(self, about: dict) -> dict[str, list]:
        """Groups of arrays of the same shapes as `further_state` had when saved."""
        return {}

    def set_further(self, about: dict, state: dict[str, list]):
        """Takes over what `further_about` and `further_state` gave."""

    # What all have.

    @property
    def num_updates(self) -> int:
        """Of the whole run."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Time spent in training, in all processes of the run."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def is_long(self) -> bool:
        """Whether there are checkpoints on the way, however fast it is."""
        return bool(self.checkpoints) and self.num_updates >= self.saver.every

    def train(self):
        """Trains to the end.

        Raises:
            Diverged: the loss diverges more often than may be.
            InputError: checkpoints are of another run, or cannot be written.
            SystemExit: the process was asked to leave; the state is saved.
        """
        try:
            self._train()
        except BaseException:
            with contextlib.suppress(InputError):
                self._close()
            raise
        self._close()

    def _close(self):
        if self.checkpoints:  # Waits for what is being written.
            self.checkpoints.close()

    def _train(self):
        self.model.optimizer.build(self.model.trainable_variables)
        done = 0
        if self.checkpoints and self.checkpoints.latest is not None:
            done = self._go_on()
            tqdm.write(f"Going on after update {done:,}.")
            self.tell(0)
        elif self.is_long:
            self.save(0)
        with self.saver.asked_by_signal():
            while done < self.num_updates and not self.is_over:
                try:
                    done = self._fit_sections(done)
                except Diverged as error:
                    done = self._go_back(error)

    def _fit_sections(self, done: int) -> int:
        """Trains the rest of a section, or whole ones, or a shorter last one.

        Args:
            done: updates made before.

        Returns:
            Updates made then, if training did not stop early.
        """
        first, step = divmod(done, self.section)
        left = self.num_updates - done
        steps = min(self.section - step, left)
        count = 1 if step else max(left // self.section, 1)
        stop = done + count * steps
        self.saver.first_step = step
        self.saver.watch = StopOnDivergence(
            first_step=step,
            updates_per_epoch=self.section,
            first_loss=self.first_loss,
            counts_epochs=self.counts_epochs,
        )
        self.model.fit(
            batches_of(self.plan, self.rows, slice(done, stop)),
            initial_epoch=first,
            epochs=first + count,
            steps_per_epoch=steps,
            validation_data=batches(self.validation_plan, count),
            validation_steps=self.validation_plan.num_batches,
            shuffle=False,
            verbose=0,
            callbacks=[self.saver.watch, *self.callbacks(step), self.saver],
        )
        self.first_loss = self.saver.watch.first_loss
        return stop

    def save(self, done: int):
        """Begins to write a checkpoint after `done` updates."""
        model = self.model
        about = {
            **self.identity,
            "history": self.history,
            "seconds": self.seconds,
            "metrics": [np.array(v.value).tolist() for v in model.metrics_variables],
            "skipped": sorted(self.rows.skipped),
            "num_recoveries": self.num_recoveries,
            "first_loss": self.saver.watch and self.saver.watch.first_loss,
            "further": self.further_about(),
        }
        state = {"model": [v.value for v in state_of(model)]}
        self.saver.saved_at = time.monotonic()
        self.checkpoints.save(done, state | self.further_state(), about)

    def _go_on(self) -> int:
        """Sets everything to the newest checkpoint; the updates made."""
        about = self.checkpoints.about()
        check_same_run(about, self.identity, self.checkpoints.folder)
        variables = state_of(self.model)
        further = about["further"]
        like = {"model": variables, **self.further_state_like(further)}
        state = self.checkpoints.restore(like)
        set_state(variables, state.pop("model"))
        self.set_further(further, state)
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
        if num_recoveries > self.training.max_recoveries or not self.checkpoints:
            raise error
        self.checkpoints.wait()
        if self.checkpoints.latest is None:
            raise error
        seconds = self.seconds
        skipped = self.rows.skipped | set(error.updates)
        done = self._go_on()
        self.rows.skipped, self.num_recoveries = skipped, num_recoveries
        self.seconds_before = seconds
        factor = RATE_AFTER_DIVERGENCE**num_recoveries
        self.model.optimizer.rate_factor.assign(factor)
        tqdm.write(
            f"The loss became {error.loss} in updates {error.updates[0] + 1:,} to "
            f"{error.updates[-1] + 1:,}. Back to update {done:,}, without these "
            f"batches, at {factor:g} of the learning rate "
            f"({num_recoveries} of {self.training.max_recoveries} times)."
        )
        return done


class _Saver(keras.callbacks.Callback):
    """Keeps the history, writes checkpoints, and leaves when asked to."""

    def __init__(self, run: ResumableRun, every: int):
        super().__init__()
        self.run, self.every = run, every
        self.first_step = 0  # of the section that a call of `fit` begins with
        self.metrics = None  # to go on from
        self.saved_at = time.monotonic()
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
        if self.is_asked:  # after the last save
            signal.raise_signal(signal.SIGTERM)

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is so old that another is wanted."""
        age = time.monotonic() - self.saved_at
        return bool(self.run.checkpoints) and age >= CHECKPOINT_SECONDS

    def done_after(self, batch: int) -> int:
        """Updates made in the whole run after `batch` of this section."""
        return self.epoch * self.run.section + self.first_step + batch + 1

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch  # Keras' name for a section
        if self.first_step:  # The section goes on, and so do its means.
            values = map(np.float32, self.metrics)
            set_state(self.model.metrics_variables, list(values))

    def on_train_batch_end(self, batch, logs=None):
        done = self.done_after(batch)
        is_last = batch + 1 == self.params["steps"]
        is_wanted = self.is_asked or done % self.every == 0 or self.is_due
        if is_wanted and not is_last:
            self.model.jax_state_sync()
            # The newest update shows in no loss yet.
            is_finite = all(np.isfinite(w).all() for w in self.model.get_weights())
            self.watch.check(batch + 1, float(logs["loss"]) if is_finite else math.nan)
            self._save(done)

    def on_epoch_end(self, epoch, logs=None):
        done = self.done_after(self.params["steps"] - 1)
        self.first_step = 0
        for name, value in self.run.report(done, logs).items():
            self.run.history.setdefault(name, []).append(value)
        if self.is_asked or self.run.is_long or self.is_due:
            self._save(done)
        self.run.tell(epoch)  # Last: it may raise, and leaving comes first.

    def _save(self, done: int):
        if self.run.checkpoints:
            self.run.save(done)
        if not self.is_asked:
            return
        if self.run.checkpoints:
            self.run.checkpoints.wait()
            tqdm.write(
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

"""A run of updates that continues from wherever it was interrupted.

The state of a run is a function of the number of updates made: weights, optimizer,
random states and metrics so far are in the checkpoint, the data follow from the
number. So a run that continues from any checkpoint ends with the same weights, bit for
bit, as one that was never interrupted, unless its loss diverges.
"""

import contextlib
import dataclasses
import logging
import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import grain
import keras
import numpy as np

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
from sentiment.runtime.signals import HeldSignal
from sentiment.training.callbacks import Diverged, KeepBest, StopOnDivergence
from sentiment.training.checkpoints import Checkpoints, set_state, state_of
from sentiment.training.run_state import RunState

RATE_AFTER_DIVERGENCE = 0.5  # of the rate before
# After so long without a checkpoint, the next update or validation writes one, so that
# a slow machine loses little, too. When checkpoints are written changes no result,
# except in a run that diverges: it goes back to the last one.
CHECKPOINT_SECONDS = 600

# Is called with the number of updates made, after each of them and before a checkpoint
# is written. Whatever it raises stops the run, which the same call then continues.
OnUpdate = Callable[[int], None]

logger = logging.getLogger(__name__)


class ResumableRun:
    """Training in as many processes as interruptions make of it.

    A subclass says what is kept and shown. Updates come in sections of one length; only
    the last one may be shorter. Each ends with a validation and a line of the history.

    Args:
        model: a compiled Keras model, trained in place.
        training: the settings.
        plan: the training batches; each is one optimizer update.
        validation: what each section is validated on.
        section: updates in a section.
        identity: of the run, as of `sentiment.runs.identity`.
        checkpoints: folder to go on from and to write to; `None`: neither.
        best: keeps the best weights, also in the checkpoints, and may stop the run.
        on_update: see `OnUpdate`; it must not read or change weights or optimizer.

    Attributes:
        state: where the run stands.
    """

    counts_epochs = True  # in messages; else updates alone

    def __init__(
        self,
        model: keras.Model,
        training: OptimizationConfig,
        plan: BatchPlan,
        validation: EncodedExamples,
        section: int,
        identity: dict,
        checkpoints: str | Path | None,
        best: KeepBest | None = None,
        on_update: OnUpdate | None = None,
    ):
        self.model, self.training, self.plan = model, training, plan
        self.section, self.best, self.on_update = section, best, on_update
        self.validation_plan = dataclasses.replace(
            plan, examples=validation, batch_rows=training.batch_size, seed=None
        )
        self.state = RunState()
        self._rows = planned_rows(plan, training.epochs)
        self._storage = None
        if checkpoints:
            self._storage = _Storage(checkpoints, model, self.state, best, identity)

    # What a subclass gives.

    def callbacks(self, step: int) -> list[keras.callbacks.Callback]:
        """Callbacks of a call of `fit` that begins at `step` of a section."""
        raise NotImplementedError

    def history_row(self, logs: dict) -> dict[str, float]:
        """What the history holds of the section that has just ended."""
        raise NotImplementedError

    def on_history(self, first: int):
        """Is called when the history has new sections, from index `first` on.

        After an interruption it is called again with those before the checkpoint. May
        raise to stop training.
        """

    # What all have.

    @property
    def num_updates(self) -> int:
        """Of the whole run."""
        return len(self._rows)

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
        if self._storage:  # Waits for what is being written.
            self._storage.checkpoints.close()

    def _train(self):
        every = self.training.checkpoint_every
        saves_on_the_way = self._storage is not None and self.num_updates >= every
        self.model.optimizer.build(self.model.trainable_variables)
        if self._storage and self._storage.checkpoints.latest is not None:
            self.state.go_on_from(*self._storage.restore())
            logger.info(f"Going on after update {self.state.done:,}.")
            self.on_history(0)
        elif saves_on_the_way:
            self._storage.save()
        with HeldSignal(signal.SIGTERM) as sigterm:
            while self.state.done < self.num_updates and not self._is_over:
                try:
                    self._fit_sections(saves_on_the_way, sigterm)
                except Diverged as error:
                    self._go_back(error)

    @property
    def _is_over(self) -> bool:
        """Whether training stops before its last update."""
        return self.best is not None and self.best.is_over

    def _fit_sections(self, saves_on_the_way: bool, sigterm: HeldSignal):
        """Trains the rest of a section, or whole ones, or a shorter last one."""
        done = self.state.done
        first, step = divmod(done, self.section)
        left = self.num_updates - done
        steps = min(self.section - step, left)
        count = 1 if step else max(left // self.section, 1)
        watch = StopOnDivergence(
            first_step=step,
            updates_per_epoch=self.section,
            first_loss=self.state.first_loss,
            counts_epochs=self.counts_epochs,
        )
        recorder = _Recorder(self, self._storage, watch, saves_on_the_way, sigterm)
        rows = _SkippingRows(self._rows, self.state.skipped)
        self.model.fit(
            batches_of(self.plan, rows, slice(done, done + count * steps)),
            initial_epoch=first,
            epochs=first + count,
            steps_per_epoch=steps,
            validation_data=batches(self.validation_plan, count),
            validation_steps=self.validation_plan.num_batches,
            shuffle=False,
            verbose=0,
            callbacks=[watch, *self.callbacks(step), recorder],
        )

    def _go_back(self, error: Diverged):
        """To the last checkpoint, with a lower rate and without those batches."""
        state, limit = self.state, self.training.max_recoveries
        if state.num_recoveries >= limit or not self._storage:
            raise error
        self._storage.checkpoints.wait()
        if self._storage.checkpoints.latest is None:
            raise error
        state.go_back_to(*self._storage.restore(), without=error.updates)
        factor = RATE_AFTER_DIVERGENCE**state.num_recoveries
        self.model.optimizer.rate_factor.assign(factor)
        logger.warning(
            f"The loss became {error.loss} in updates {error.updates[0] + 1:,} to "
            f"{error.updates[-1] + 1:,}. Back to update {state.done:,}, without these "
            f"batches, at {factor:g} of the learning rate "
            f"({state.num_recoveries} of {limit} times)."
        )


class _Storage:
    """Writes a run to its checkpoints and reads it from them."""

    def __init__(
        self,
        folder: str | Path,
        model: keras.Model,
        state: RunState,
        best: KeepBest | None,
        identity: dict,
    ):
        self.checkpoints = Checkpoints(folder)
        self.model, self.state, self.best = model, state, best
        self.identity = identity

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is so old that another is wanted."""
        return self.state.seconds - self.state.saved_at >= CHECKPOINT_SECONDS

    def save(self):
        """Begins to write a checkpoint; training may go on meanwhile."""
        model, state = self.model, self.state
        state.metrics = [np.array(v.value).tolist() for v in model.metrics_variables]
        state.saved_at = state.seconds
        about = {**self.identity, **state.to_json(), "further": {}}
        arrays = {"model": [v.value for v in state_of(model)]}
        if self.best:
            about["further"] = self.best.about()
            arrays |= self.best.weights()
        self.checkpoints.save(state.done, arrays, about)

    def restore(self) -> tuple[int, dict]:
        """Sets the model and the best weights to the newest checkpoint.

        Returns:
            The updates made, and what there is of the state.

        Raises:
            InputError: it is of another run, or damaged.
        """
        about = self.checkpoints.about()
        check_same_run(about, self.identity, self.checkpoints.folder)
        variables, about_best = state_of(self.model), about["further"]
        like = {"model": variables}
        if self.best:
            like |= self.best.weights_like(about_best, self.model)
        arrays = self.checkpoints.restore(like)
        set_state(variables, arrays.pop("model"))
        if self.best:
            self.best.set(about_best, arrays)
        return self.checkpoints.latest, about


class _Recorder(keras.callbacks.Callback):
    """Counts updates, keeps the history, saves when it is time, leaves when asked to.

    Args:
        run: what is recorded.
        storage: where to; `None`: nowhere.
        watch: what looks at the losses before this does.
        saves_on_the_way: whether it saves however fast the run is.
        sigterm: asks the process to leave.
    """

    def __init__(
        self,
        run: ResumableRun,
        storage: _Storage | None,
        watch: StopOnDivergence,
        saves_on_the_way: bool,
        sigterm: HeldSignal,
    ):
        super().__init__()
        self.run, self.state = run, run.state
        self.storage, self.watch = storage, watch
        self.saves_on_the_way, self.sigterm = saves_on_the_way, sigterm

    def on_epoch_begin(self, epoch, logs=None):
        if self.state.done % self.run.section:  # It goes on, and so do its means.
            values = list(map(np.float32, self.state.metrics))
            set_state(self.model.metrics_variables, values)

    def on_train_batch_end(self, batch, logs=None):
        self.state.done += 1
        self.state.first_loss = self.watch.first_loss
        if self.run.on_update:
            self.run.on_update(self.state.done)
        is_last = batch + 1 == self.params["steps"]
        is_turn = self.state.done % self.run.training.checkpoint_every == 0
        if self._is_wanted(is_turn) and not is_last:
            self.model.jax_state_sync()
            # The newest update shows in no loss yet.
            is_finite = all(np.isfinite(w).all() for w in self.model.get_weights())
            self.watch.check(batch + 1, float(logs["loss"]) if is_finite else math.nan)
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        for name, value in self.run.history_row(logs).items():
            self.state.history.setdefault(name, []).append(value)
        if self._is_wanted(self.saves_on_the_way):
            self._save()
        self.run.on_history(epoch)  # Last: it may raise, and leaving comes first.

    def _is_wanted(self, is_turn: bool) -> bool:
        is_due = self.storage is not None and self.storage.is_due
        return is_turn or is_due or self.sigterm.is_received

    def _save(self):
        if self.storage:
            self.storage.save()
        if not self.sigterm.is_received:
            return
        if self.storage:
            self.storage.checkpoints.wait()
            logger.info(
                f"Saved after update {self.state.done:,}. The same command goes on "
                "from there; leave out --overwrite if you gave it."
            )
        raise SystemExit(128 + signal.SIGTERM)


class _SkippingRows(grain.sources.RandomAccessDataSource):
    """Rows of each batch; none for those that are skipped."""

    def __init__(self, rows: Sequence[list[np.ndarray]], skipped: set[int]):
        self._rows, self._skipped = rows, frozenset(skipped)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[np.ndarray]:
        return [] if index in self._skipped else self._rows[index]

    def __repr__(self) -> str:
        return f"_SkippingRows({self._rows!r}, without {sorted(self._skipped)})"

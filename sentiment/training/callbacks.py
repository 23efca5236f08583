"""Keras callbacks of a training run."""

import dataclasses
import math

import keras
import numpy as np
from tqdm.auto import tqdm

from sentiment.errors import InputError

EXPLOSION = 10.0  # times the first loss seen


class LearningRateLogger(keras.callbacks.Callback):
    """Logs the learning rate of the epoch's last update."""

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        rate = optimizer._learning_rate
        if callable(rate):
            # `iterations` counts finished updates; the last one read one less.
            rate = rate(optimizer.iterations - 1)
        factor = float(getattr(optimizer, "rate_factor", 1.0))  # after divergence
        logs["learning_rate"] = float(rate) * factor


class Diverged(InputError):
    """The loss is not a number, or far greater than at first.

    Attributes:
        loss: its value.
        updates: range of updates, counted from 0; one of them caused it.
    """

    def __init__(self, message: str, loss: float, updates: range):
        super().__init__(message)
        self.loss, self.updates = loss, updates


class StopOnDivergence(keras.callbacks.Callback):
    """Stops a run whose loss is no longer a number, or explodes.

    The logged loss is a running mean, so one bad step shows in every later
    one: looking now and then finds it, without waiting for each step.
    The validation loss is looked at, too.

    Args:
        every: steps between two looks.
        first_step: steps of the epoch before the first of this `fit`.
        updates_per_epoch: updates in a whole epoch.
        first_loss: the first one that the run has seen, before this `fit`.
        counts_epochs: whether the message names a step of an epoch; else an update.

    Raises:
        Diverged: a loss is NaN, infinite, or `EXPLOSION` times the first one seen.
    """

    def __init__(
        self,
        every=16,
        first_step=0,
        updates_per_epoch=0,
        first_loss=None,
        counts_epochs=True,
    ):
        super().__init__()
        self.every = every
        self.first_step = first_step
        self.updates_per_epoch = updates_per_epoch
        self.first_loss = first_loss
        self.counts_epochs = counts_epochs

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._epoch_start = epoch * self.updates_per_epoch
        self._looked_at = 0

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:
            self.check(batch + 1, float(logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        self.check(self.params["steps"], float(logs["loss"]))
        # The epoch's last update shows in no training loss.
        if "val_loss" in logs:
            self.check(self.params["steps"], float(logs["val_loss"]))
        self.first_step = 0

    def check(self, step: int, loss: float):
        """Raises where `loss`, after `step` steps of this `fit`, shows divergence."""
        is_finite = math.isfinite(loss)
        if self.first_loss is None and is_finite and loss > 0:
            self.first_loss = loss
        if is_finite and loss <= EXPLOSION * (self.first_loss or math.inf):
            self._looked_at = step
            return
        last = self.first_step + step
        # What update n does to the weights shows in the loss of update n + 1.
        first = self.first_step + max(self._looked_at - 1, 0)
        if self.counts_epochs:
            place = f"step {last} of epoch {self._epoch + 1}"
        else:
            place = f"update {self._epoch_start + last:,}"
        raise Diverged(
            f"The loss became {loss} by {place}, so training was "
            "stopped. Try a lower --learning_rate, a longer --warmup_ratio or "
            "--dtype=float32; and what adds to the loss, where it is set, smaller: "
            "--class_weight, --focal_gamma, --lm_loss_weight, --adversarial_weight.",
            loss,
            range(self._epoch_start + first, self._epoch_start + last),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """Weights after an epoch, and what they scored.

    Attributes:
        value: the monitored one.
        epoch: from 0.
        weights: as of `keras.Model.get_weights`.
    """

    value: float
    epoch: int
    weights: list


class KeepBest(keras.callbacks.Callback):
    """Keeps the best weights, and stops when no better ones come.

    Unlike `keras.callbacks.EarlyStopping` it keeps what was validated, which may be
    an average over the updates, keeps several, and can go on from a checkpoint.

    Args:
        monitor: name of a validation score.
        mode: `max` or `min`.
        patience: epochs without a better score before stopping.
        count: how many to keep.

    Attributes:
        kept: the best first.
        is_over: whether it has stopped training.
    """

    def __init__(self, monitor: str, mode: str, patience: int, count: int = 1):
        super().__init__()
        self.monitor, self.mode = monitor, mode
        self.patience, self.count = patience, count
        self.kept: list[Kept] = []
        self.wait, self.is_over = 0, False

    def is_worse(self, value: float) -> bool:
        """Whether `value` is worse than the best; a NaN is."""
        return math.isnan(value) or self._rank(value) > self._rank(self.kept[0].value)

    def _rank(self, value: float) -> float:
        """The lower, the better; a NaN is worst."""
        if math.isnan(value):
            return math.inf
        return -value if self.mode == "max" else value

    def on_test_end(self, logs=None):
        self._validated = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        value = float(logs[self.monitor])
        is_better = not self.kept or (
            self._rank(value) < self._rank(self.kept[0].value)
        )
        self.wait = 0 if is_better else self.wait + 1
        kept = [*self.kept, Kept(value, epoch, self._validated)]
        # A stable order: of equal ones the earlier is better.
        self.kept = sorted(kept, key=lambda one: self._rank(one.value))
        del self.kept[self.count :]
        if self.wait >= self.patience:
            self.is_over = self.model.stop_training = True

    def averaged(self) -> list:
        """The mean of the kept weights."""
        groups = zip(*(kept.weights for kept in self.kept), strict=True)
        return [np.mean(group, axis=0, dtype=np.float64) for group in groups]

    def about(self) -> dict:
        """Everything but weights, as JSON."""
        return {
            "values": [kept.value for kept in self.kept],
            "epochs": [kept.epoch for kept in self.kept],
            "wait": self.wait,
            "is_over": self.is_over,
        }

    def weights(self) -> dict[str, list]:
        """Groups of arrays for a checkpoint."""
        return {f"best_{i}": kept.weights for i, kept in enumerate(self.kept)}

    def weights_like(self, about: dict, model) -> dict[str, list]:
        """Groups of the shapes of `weights` in a checkpoint."""
        return {f"best_{i}": model.weights for i in range(len(about["epochs"]))}

    def set(self, about: dict, weights: dict[str, list]):
        """Goes on from what `about` and `weights` gave."""
        self.wait, self.is_over = about["wait"], about["is_over"]
        self.kept = [
            Kept(value, epoch, list(map(np.array, weights[f"best_{i}"])))
            for i, (value, epoch) in enumerate(
                zip(about["values"], about["epochs"], strict=True)
            )
        ]


class ProgressBar(keras.callbacks.Callback):
    """One line per epoch with real tokens per second and time left.

    Args:
        tokens_per_epoch: real tokens, padding not counted.
        first_step: steps of the epoch before the first of this `fit`.
        every: steps between two updates; each waits for the device.
        epochs: of the run; by default those of this `fit`.
    """

    def __init__(self, tokens_per_epoch, first_step=0, every=8, epochs=None):
        super().__init__()
        self.epochs = epochs
        self.tokens_per_epoch = tokens_per_epoch
        self.first_step = first_step
        self.every = every

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = self.first_step + self.params["steps"]
        self._bar = tqdm(
            total=self.tokens_per_epoch,
            initial=round(self.first_step / self._steps * self.tokens_per_epoch),
            desc=f"Epoch {epoch + 1}/{self.epochs or self.params['epochs']}",
            unit=" tokens",
            unit_scale=True,
            bar_format="{desc}: {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}, "
            "{rate_fmt}{postfix}",
        )

    def on_train_batch_end(self, batch, logs=None):
        done = self.first_step + batch + 1
        if done % self.every == 0:
            self._bar.set_postfix(_rounded(logs), refresh=False)
            self._advance_to(done / self._steps)

    def on_epoch_end(self, epoch, logs=None):
        self._advance_to(1.0)
        self._bar.set_postfix(_rounded(logs))
        self._bar.close()

    def _advance_to(self, share):
        self._bar.update(round(share * self.tokens_per_epoch) - self._bar.n)


def _rounded(logs):
    shown = ("loss", "accuracy", "val_cross_entropy", "val_accuracy", "val_macro_f1")
    return {name: f"{float(logs[name]):.4f}" for name in shown if name in logs}

"""Keras callbacks of a training run."""

import math

import keras
from tqdm.auto import tqdm

from sentiment.errors import InputError


class LearningRateLogger(keras.callbacks.Callback):
    """Logs the learning rate of the epoch's last update."""

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        rate = optimizer._learning_rate
        if callable(rate):
            # `iterations` counts finished updates; the last one read one less.
            rate = rate(optimizer.iterations - 1)
        logs["learning_rate"] = float(rate)


class StopOnDivergence(keras.callbacks.Callback):
    """Stops a run whose loss is no longer a number.

    The logged loss is a running mean, so one bad step shows in every later
    one: looking now and then finds it, without waiting for each step.
    The validation loss is looked at, too.

    Args:
        every: steps between two looks.
        first_step: steps of the run before the first of this `fit`.

    Raises:
        InputError: a loss is NaN or infinite.
    """

    def __init__(self, every=16, first_step=0):
        super().__init__()
        self.every = every
        self.first_step = first_step

    def on_epoch_begin(self, epoch, logs=None):
        self._in_epoch = (
            f" of epoch {epoch + 1}" if self.params.get("epochs") != 1 else ""
        )

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:
            self._check(batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._check(self.params["steps"], logs)
        # The epoch's last update shows in no training loss.
        if "val_loss" in logs:
            self._check(self.params["steps"], logs, "val_loss")

    def _check(self, step, logs, name="loss"):
        loss = float(logs[name])
        if not math.isfinite(loss):
            raise InputError(
                f"The loss became {loss} by step {self.first_step + step}"
                f"{self._in_epoch}, so training was stopped. Try a lower "
                "--learning_rate, a longer --warmup_ratio or --dtype=float32."
            )


class ProgressBar(keras.callbacks.Callback):
    """One line per epoch with real tokens per second and time left.

    Args:
        tokens_per_epoch: real tokens, padding not counted.
        every: steps between two updates; each waits for the device.
    """

    def __init__(self, tokens_per_epoch, every=8):
        super().__init__()
        self.tokens_per_epoch = tokens_per_epoch
        self.every = every

    def on_epoch_begin(self, epoch, logs=None):
        self._bar = tqdm(
            total=self.tokens_per_epoch,
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit=" tokens",
            unit_scale=True,
            bar_format="{desc}: {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}, "
            "{rate_fmt}{postfix}",
        )

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1
        if done % self.every == 0:
            self._bar.set_postfix(_rounded(logs), refresh=False)
            self._advance_to(done / self.params["steps"])

    def on_epoch_end(self, epoch, logs=None):
        self._advance_to(1.0)
        self._bar.set_postfix(_rounded(logs))
        self._bar.close()

    def _advance_to(self, share):
        self._bar.update(round(share * self.tokens_per_epoch) - self._bar.n)


def _rounded(logs):
    shown = ("loss", "accuracy", "val_cross_entropy", "val_accuracy", "val_macro_f1")
    return {name: f"{float(logs[name]):.4f}" for name in shown if name in logs}

import math
from types import SimpleNamespace

import keras
import pytest

from sentiment.errors import InputError
from sentiment.training.callbacks import (
    Diverged,
    LearningRateLogger,
    ProgressBar,
    StopOnDivergence,
)
from sentiment.training.optimizers import warmup_cosine


def run_epoch(callback, losses, epoch=0, epochs=3):
    """Calls a callback as `fit` does, with one logged loss per step."""
    callback.set_params({"steps": len(losses), "epochs": epochs})
    callback.on_epoch_begin(epoch)
    for step, loss in enumerate(losses):
        callback.on_train_batch_begin(step)
        callback.on_train_batch_end(step, {"loss": loss})
    callback.on_epoch_end(epoch, {"loss": losses[-1]})


# --- Learning rate


@pytest.mark.parametrize("iterations", [1, 7, 20])
def test_the_logged_rate_is_that_of_the_last_update(iterations):
    schedule = warmup_cosine(peak=2.0, num_updates=20, warmup_ratio=0.3)
    optimizer = keras.optimizers.SGD(schedule)
    optimizer.iterations.assign(iterations)
    callback, logs = LearningRateLogger(), {}
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_epoch_end(0, logs)
    assert logs == {"learning_rate": float(schedule(iterations - 1))}
    assert type(logs["learning_rate"]) is float


def test_a_constant_rate_is_logged_as_it_is():
    callback, logs = LearningRateLogger(), {}
    callback.set_model(SimpleNamespace(optimizer=keras.optimizers.SGD(0.25)))
    callback.on_epoch_end(0, logs)
    assert logs == {"learning_rate": 0.25}


# --- Divergence


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_the_run_and_says_where(bad):
    # It shows in every later running mean; looks are at steps 1, 17, 33, ...
    losses = [1.0] * 5 + [bad] * 30
    with pytest.raises(InputError, match=r"by step 17 of epoch 2.*--learning_rate"):
        run_epoch(StopOnDivergence(), losses, epoch=1)


def test_a_bad_first_step_is_seen_at_once():
    with pytest.raises(InputError, match="by step 1 of epoch 1"):
        run_epoch(StopOnDivergence(), [math.nan] * 40)


def test_a_bad_last_step_is_seen_at_the_end_of_the_epoch():
    with pytest.raises(InputError, match="by step 20 of epoch 1"):
        run_epoch(StopOnDivergence(), [1.0] * 19 + [math.nan])


def test_steps_between_two_looks_are_not_waited_for():
    class Unready:
        def __float__(self):
            raise AssertionError("this step was waited for")

    losses = [1.0, Unready(), Unready(), 1.0, Unready(), Unready(), 1.0]
    run_epoch(StopOnDivergence(every=3), losses)


def test_a_bad_last_update_shows_in_the_validation_loss():
    callback = StopOnDivergence()
    callback.set_params({"steps": 4})
    callback.on_epoch_begin(0)
    with pytest.raises(InputError, match="step 4 of epoch 1"):
        callback.on_epoch_end(0, {"loss": 1.0, "val_loss": math.nan})


def test_any_finite_loss_goes_on():
    run_epoch(StopOnDivergence(every=1), [1e30, 0.0, -1.0])


# --- Progress


@pytest.mark.parametrize("steps", [1, 7, 8, 21])
@pytest.mark.parametrize("tokens", [5, 1000, 999_983])
def test_the_bar_ends_at_the_epochs_tokens(steps, tokens):
    callback = ProgressBar(tokens)
    for epoch in range(2):
        run_epoch(callback, [0.5] * steps, epoch)
        assert callback._bar.n == callback._bar.total == tokens


def test_the_bar_advances_by_the_share_of_steps():
    callback = ProgressBar(1000, every=4)
    callback.set_params({"steps": 10, "epochs": 1})
    callback.on_epoch_begin(0)
    shown = []
    for step in range(10):
        callback.on_train_batch_end(step, {"loss": 0.5})
        shown.append(callback._bar.n)
    callback.on_epoch_end(0, {"loss": 0.5})
    assert shown == [0, 0, 0, 400, 400, 400, 400, 800, 800, 800]


def test_the_line_names_epoch_and_scores(capsys):
    callback = ProgressBar(1000)
    callback.set_params({"steps": 1, "epochs": 3})
    callback.on_epoch_begin(1)
    callback.on_epoch_end(1, {"loss": 0.51239, "val_accuracy": 0.875, "other": 1})
    line = capsys.readouterr().err.split("\r")[-1]
    assert line.startswith("Epoch 2/3: 100%")
    assert "loss=0.5124, val_accuracy=0.8750" in line
    assert "other" not in line


# --- Divergence of a run that goes on


def test_an_explosion_is_measured_against_the_first_loss_of_the_run():
    losses = [0.02, *[0.5] * 20]  # 25 times the first of this `fit`
    with pytest.raises(Diverged):
        run_epoch(StopOnDivergence(), losses)
    callback = StopOnDivergence(first_loss=0.7)
    run_epoch(callback, losses)
    assert callback.first_loss == 0.7


def test_the_updates_that_may_have_done_it_are_named():
    # The loss of update 20 is NaN: 16 was fine when looked at, but what it did to the
    # weights was not seen yet.
    callback = StopOnDivergence(updates_per_epoch=40)
    with pytest.raises(Diverged) as error:
        run_epoch(callback, [1.0] * 20 + [math.nan] * 20, epoch=1)
    assert error.value.updates == range(40 + 16, 40 + 33)

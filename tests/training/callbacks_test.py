import math
from types import SimpleNamespace

import keras
import numpy as np
import optax
import pytest

from sentiment.errors import InputError
from sentiment.training.callbacks import (
    Diverged,
    KeepBest,
    LearningRateLogger,
    ProgressBar,
    StopOnDivergence,
)
from sentiment.training.optimizers import OptaxOptimizer, warmup_cosine


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


def test_the_logged_rate_is_lower_after_divergence():
    optimizer = OptaxOptimizer(optax.sgd(1.0), 0.25)
    optimizer.build([keras.Variable([1.0])])
    optimizer.rate_factor.assign(0.5)
    callback, logs = LearningRateLogger(), {}
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_epoch_end(0, logs)
    assert logs == {"learning_rate": 0.125}


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


def looks(callback, steps):
    """The steps whose loss is read, from 0."""
    seen = []

    class Loss(float):
        def __float__(self):
            seen.append(step)
            return 1.0

    callback.set_params({"steps": steps})
    callback.on_epoch_begin(0)
    for step in range(steps):
        callback.on_train_batch_end(step, {"loss": Loss()})
    return seen


def test_looks_are_as_far_apart_as_told():
    assert looks(StopOnDivergence(), 34) == [0, 16, 32]
    assert looks(StopOnDivergence(every=5), 11) == [0, 5, 10]


@pytest.mark.parametrize("times, ends", [(9.99, False), (10.0, False), (10.01, True)])
def test_a_loss_explodes_beyond_ten_times_the_first(times, ends):
    callback = StopOnDivergence(every=1)
    losses = [0.5, 0.1, 0.5 * times]
    if not ends:
        return run_epoch(callback, losses)
    with pytest.raises(Diverged) as error:
        run_epoch(callback, losses)
    assert error.value.loss == 0.5 * times


def test_the_first_loss_stays_the_measure_in_later_epochs():
    callback = StopOnDivergence()
    run_epoch(callback, [2.0, 1.0])
    run_epoch(callback, [0.01], epoch=1)
    run_epoch(callback, [19.0], epoch=2)
    with pytest.raises(Diverged, match="by step 1 of epoch 4"):
        run_epoch(callback, [21.0], epoch=3)


def test_a_first_loss_of_0_is_no_measure():
    callback = StopOnDivergence(every=1)
    run_epoch(callback, [0.0, -1.0, 0.5, 4.9])
    assert callback.first_loss == 0.5


def test_an_exploding_validation_loss_stops_the_run():
    callback = StopOnDivergence(first_loss=1.0)
    callback.set_params({"steps": 4})
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {"loss": 1.0, "val_loss": 10.0})
    with pytest.raises(Diverged, match=r"loss became 11\.0 by step 4"):
        callback.on_epoch_end(0, {"loss": 1.0, "val_loss": 11.0})


def test_a_fit_that_begins_amid_an_epoch_counts_its_steps_from_there():
    callback = StopOnDivergence(first_step=7, updates_per_epoch=10)
    with pytest.raises(Diverged, match="by step 9 of epoch 2") as error:
        run_epoch(callback, [1.0, math.nan], epoch=1)
    assert error.value.updates == range(10 + 7, 10 + 9)


def test_the_epoch_after_it_counts_from_its_start():
    callback = StopOnDivergence(first_step=7, updates_per_epoch=10)
    run_epoch(callback, [1.0] * 3)
    with pytest.raises(Diverged, match="by step 1 of epoch 2") as error:
        run_epoch(callback, [math.nan] * 10, epoch=1)
    assert error.value.updates == range(10, 11)


def test_a_later_epoch_suspects_none_of_its_updates_before_the_first_look():
    callback = StopOnDivergence(updates_per_epoch=40)
    run_epoch(callback, [1.0] * 40)
    with pytest.raises(Diverged) as error:
        run_epoch(callback, [1.0] + [math.nan] * 39, epoch=1)
    assert error.value.updates == range(40, 40 + 17)


def test_without_epochs_the_update_of_the_run_is_named():
    callback = StopOnDivergence(
        every=1, first_step=5, updates_per_epoch=1000, counts_epochs=False
    )
    with pytest.raises(Diverged, match=r"became nan by update 2,007, so"):
        run_epoch(callback, [1.0, math.nan], epoch=2)


# --- The best epochs


def run_epochs(callback, values, monitor="val_accuracy"):
    """Validates epochs whose weights are [epoch, 10 * epoch] until it stops.

    Returns:
        The number of epochs made.
    """
    epoch = 0
    model = SimpleNamespace(
        stop_training=False,
        get_weights=lambda: [np.float32([epoch]), np.float32([10 * epoch])],
    )
    callback.set_model(model)
    for epoch, value in enumerate(values):
        callback.on_test_end()
        callback.on_epoch_end(epoch, {monitor: value, "val_loss": -value})
        if model.stop_training:
            return epoch + 1
    return len(values)


def kept(callback):
    return [(one.epoch, one.value) for one in callback.kept]


SCORES = [0.5, 0.7, 0.6, 0.7, 0.6, 0.6, 0.9, 0.8]


@pytest.mark.parametrize(
    "patience, epochs, best",
    [(1, 3, 1), (2, 4, 1), (3, 5, 1), (4, 6, 1), (5, 8, 6), (9, 8, 6)],
)
@pytest.mark.parametrize("mode, sign", [("max", 1), ("min", -1)])
def test_patience_counts_epochs_without_a_better_score(
    patience, epochs, best, mode, sign
):
    callback = KeepBest("val_accuracy", mode, patience)
    assert run_epochs(callback, [sign * score for score in SCORES]) == epochs
    assert kept(callback) == [(best, sign * SCORES[best])]
    assert callback.is_over == (patience < 5)


def test_a_better_score_starts_the_wait_anew():
    callback = KeepBest("val_accuracy", "max", patience=2)
    values = [0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.6]
    assert run_epochs(callback, values) == 7
    assert (callback.wait, callback.is_over) == (2, True)


def test_the_monitored_score_is_what_counts():
    callback = KeepBest("val_loss", "min", patience=9)
    run_epochs(callback, [1.0, 3.0, 2.0])
    assert kept(callback) == [(1, -3.0)]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_equal_scores_the_earlier_is_better_and_the_wait_goes_on(mode):
    callback = KeepBest("val_accuracy", mode, patience=2, count=2)
    assert run_epochs(callback, [0.5, 0.5, 0.5, 0.5]) == 3
    assert kept(callback) == [(0, 0.5), (1, 0.5)]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_score_that_is_no_number_is_the_worst(mode):
    callback = KeepBest("val_accuracy", mode, patience=2, count=3)
    assert run_epochs(callback, [0.5, math.nan, 0.5]) == 3
    assert [epoch for epoch, _ in kept(callback)] == [0, 2, 1]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_any_number_is_better_than_none(mode):
    callback = KeepBest("val_accuracy", mode, patience=3)
    run_epochs(callback, [math.nan, math.nan, 0.5])
    assert (kept(callback), callback.wait) == ([(2, 0.5)], 0)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_worse_is_a_lower_score_or_a_greater_loss(mode):
    callback = KeepBest("val_accuracy", mode, patience=9)
    run_epochs(callback, [0.5])
    assert callback.is_worse(0.4) == (mode == "max")
    assert callback.is_worse(0.6) == (mode == "min")
    assert not callback.is_worse(0.5)
    assert callback.is_worse(math.nan)


@pytest.mark.parametrize("mode, epochs", [("max", [6, 7, 1, 3]), ("min", [0, 2, 4, 5])])
def test_as_many_as_wanted_are_kept_the_best_first(mode, epochs):
    callback = KeepBest("val_accuracy", mode, patience=99, count=4)
    run_epochs(callback, SCORES)
    assert kept(callback) == [(epoch, SCORES[epoch]) for epoch in epochs]


def test_the_weights_are_those_that_were_validated_and_their_mean():
    callback = KeepBest("val_accuracy", "max", patience=99, count=3)
    run_epochs(callback, SCORES)
    assert [one.weights[0].item() for one in callback.kept] == [6, 7, 1]
    first, second = callback.averaged()
    np.testing.assert_allclose(first, [(6 + 7 + 1) / 3], rtol=1e-15)
    np.testing.assert_allclose(second, [10 * (6 + 7 + 1) / 3], rtol=1e-15)


def test_weights_changed_after_validation_are_not_the_ones_kept():
    callback = KeepBest("val_accuracy", "max", patience=9)
    weights = [np.float32([1.0])]
    callback.set_model(SimpleNamespace(get_weights=lambda: list(weights)))
    callback.on_test_end()
    weights[0] = np.float32([2.0])
    callback.on_epoch_end(0, {"val_accuracy": 0.5})
    assert callback.kept[0].weights == [np.float32([1.0])]


@pytest.mark.parametrize("stopped", range(1, 6))
def test_a_run_that_goes_on_ends_as_the_whole_one(stopped):
    def callback():
        return KeepBest("val_accuracy", "max", patience=3, count=2)

    whole = callback()
    assert run_epochs(whole, SCORES) == 5
    first = callback()
    run_epochs(first, SCORES[:stopped])
    second = callback()
    second.set(first.about(), first.weights())
    assert (second.wait, second.is_over) == (first.wait, first.is_over)
    for epoch in range(stopped, 5):
        second.set_model(SimpleNamespace(get_weights=lambda e=epoch: [e, 10 * e]))
        second.on_test_end()
        second.on_epoch_end(epoch, {"val_accuracy": SCORES[epoch]})
    assert second.about() == whole.about()
    np.testing.assert_array_equal(
        [np.ravel(group) for group in second.weights().values()],
        [np.ravel(group) for group in whole.weights().values()],
    )
    assert list(second.weights()) == ["best_0", "best_1"]


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


def test_a_bar_that_begins_amid_an_epoch_goes_on_from_there():
    callback = ProgressBar(1000, first_step=6, every=4)
    callback.set_params({"steps": 4, "epochs": 1})
    callback.on_epoch_begin(0)
    assert callback._bar.n == 600
    shown = []
    for step in range(4):
        callback.on_train_batch_end(step, {"loss": 0.5})
        shown.append(callback._bar.n)
    callback.on_epoch_end(0, {"loss": 0.5})
    assert shown == [600, 800, 800, 800]


def test_the_line_counts_the_epochs_of_the_run(capsys):
    callback = ProgressBar(1000, epochs=9)
    run_epoch(callback, [0.5], epoch=4, epochs=5)
    assert "Epoch 5/9: 100%" in capsys.readouterr().err


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

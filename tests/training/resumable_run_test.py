"""Runs of one weight, whose every update can be computed by hand."""

import dataclasses
import random
import signal
from types import SimpleNamespace

import keras
import numpy as np
import optax
import pytest

from sentiment.errors import InputError
from sentiment.training import run_state
from sentiment.training.callbacks import Diverged, KeepBest
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.optimizers import OptaxOptimizer
from sentiment.training.resumable_run import CHECKPOINT_SECONDS, ResumableRun
from tests.conftest import FreshProcess, Stop, stop_at, terminate_at
from tests.training.conftest import dying_at

SECTION, SECTIONS, EVERY, RATE = 8, 3, 6, 0.05
NUM_UPDATES = SECTION * SECTIONS
TARGETS = np.random.default_rng(0).normal(1.0, 0.3, 64).astype("float32")


@dataclasses.dataclass(frozen=True, eq=False)
class OneNumberPlan:
    """Update `n` reads one row, whose target is `examples[n]`."""

    examples: np.ndarray
    num_batches: int
    batch_rows: int = 1
    seed: int | None = 0

    def rows(self, epoch):
        numbers = np.arange(self.num_batches) + epoch * self.num_batches
        return list(numbers[:, None])

    def batch(self, rows):
        y = np.zeros((1, 1), "float32")
        for row in rows:
            y[0] = self.examples[row]
        return np.ones((1, 1), "float32"), y, np.full(1, len(rows), "float32")


class OneWeightRun(ResumableRun):
    def callbacks(self, step):
        return [self.best] if self.best else []

    def history_row(self, logs):
        return {"update": self.state.done, **logs}

    @property
    def weight(self):
        return float(self.model.get_weights()[0][0, 0])

    @property
    def rate_factor(self):
        return float(self.model.optimizer.rate_factor)


def make_run(
    folder,
    poison=(),
    best=None,
    validation=TARGETS,
    section=SECTION,
    on_update=None,
    **given,
):
    """A run of one weight that goes on from a folder's checkpoints.

    Args:
        folder: where they are; `None`: nowhere.
        poison: updates whose target is no number.
        best: keeps the best weights.
        validation: targets of the validation.
        section: updates in a section.
        on_update: see `ResumableRun`.
        **given: settings.
    """
    targets = TARGETS.copy()
    targets[list(poison)] = np.nan
    settings = {
        "epochs": SECTIONS,
        "batch_size": 1,
        "checkpoint_every": EVERY,
        "max_recoveries": 2,
    }
    keras.utils.set_random_seed(0)
    return OneWeightRun(
        one_weight(),
        SimpleNamespace(**settings | given),
        OneNumberPlan(targets, section),
        validation,
        section,
        {"format": 2, "settings": {}, "files": {}, "data": ""},
        folder,
        best,
        on_update,
    )


def one_weight():
    """A model whose only weight is its prediction."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(OptaxOptimizer(optax.sgd(1.0), RATE), "mse")
    return model


@pytest.fixture
def make(tmp_path):
    """Makes a run that goes on from the test's own checkpoints."""

    def make(folder="run", **options):
        return make_run(folder and tmp_path / folder, **options)

    return make


@pytest.fixture
def finish(make):
    """Runs to the end and returns the run."""

    def finish(**options):
        run = make(**options)
        run.train()
        return run

    return finish


def replayed(updates, rate=RATE, start=0.0):
    """The weight after gradient steps on the squared errors of these updates."""
    weight = start
    for update in updates:
        weight -= rate * 2 * (weight - TARGETS[update])
    return weight


def close(value):
    return pytest.approx(value, rel=1e-5)


# --- Interruptions


def test_an_uninterrupted_run_makes_every_update_once(finish):
    told = []
    run = finish(on_update=told.append)
    assert told == list(range(1, NUM_UPDATES + 1))
    assert run.weight == close(replayed(range(NUM_UPDATES)))
    assert run.state.history["update"] == [8, 16, 24]


def test_without_a_folder_the_run_is_the_same(finish):
    one, other = finish(folder=None), finish()
    assert one.weight == other.weight
    assert one.state.history == other.state.history


# Within a section, at its end, before the first checkpoint; the second time, and a
# second time without a checkpoint in between.
@pytest.mark.parametrize(
    "stops", [(3,), (7,), (8,), (17,), (7, 9), (8, 8), (9, 13, 14), (13, 24)]
)
def test_an_interrupted_run_ends_like_the_whole_one(make, finish, stops):
    whole = finish(folder="whole")
    for stop in stops:
        with pytest.raises(Stop):
            make(on_update=stop_at(stop)).train()
    told = []
    run = finish(on_update=told.append)
    assert run.weight == whole.weight
    assert run.state.history == whole.state.history  # with the means of cut sections
    last_saved = max(n for n in (0, 6, 8, 12, 16, 18) if n < stops[-1])
    assert told == list(range(last_saved + 1, NUM_UPDATES + 1))


def train_and_die(folder, moment, kind):
    make_run(folder, on_update=dying_at(moment, kind), **LONG).train()


# Of 64 updates, so that it can be killed ten times in all ways.
LONG = {"section": 16, "epochs": 4, "checkpoint_every": 5}


def test_a_run_killed_ten_times_ends_like_the_whole_one(finish, tmp_path):
    whole = finish(folder="whole", **LONG)
    draw = random.Random(0)
    moments = sorted(draw.sample(range(1, 58), 10))
    kinds = ["save", "validation", *["update"] * 8]
    draw.shuffle(kinds)
    for moment, kind in zip(moments, kinds, strict=True):
        killed = FreshProcess(train_and_die, tmp_path / "run", moment, kind)
        printed = killed.wait()
        assert killed.status == -signal.SIGKILL, printed
    told = []
    run = finish(on_update=told.append, **LONG)
    assert told[0] > 40
    assert run.weight == whole.weight
    assert run.state.history == whole.state.history


def test_sigterm_saves_each_time(make, finish, tmp_path, logged):
    whole = finish(folder="whole")
    for update in (5, 11, 20):
        with pytest.raises(SystemExit) as left:
            make(on_update=terminate_at(update)).train()
        assert left.value.code == 128 + signal.SIGTERM
        assert Checkpoints(tmp_path / "run").latest == update
        assert f"Saved after update {update}." in logged.text
    run = finish()
    assert run.weight == whole.weight
    assert run.state.history == whole.state.history


def test_sigterm_at_the_end_of_a_section_saves_its_line_of_the_history(
    make, finish, tmp_path
):
    with pytest.raises(SystemExit):
        make(on_update=terminate_at(16)).train()
    saved = Checkpoints(tmp_path / "run")
    assert (saved.latest, saved.about()["history"]["update"]) == (16, [8, 16])
    assert finish().state.history["update"] == [8, 16, 24]


def test_sigterm_without_a_folder_ends_the_process_at_once(make, logged):
    told = []

    def on_update(done):
        told.append(done)
        terminate_at(3)(done)

    with pytest.raises(SystemExit):
        make(folder=None, on_update=on_update).train()
    assert told == [1, 2, 3]
    assert "Saved" not in logged.text


def test_sigterm_after_the_last_save_is_not_lost(make):
    run, received = make(), []
    run.on_history = lambda first: first == 2 and signal.raise_signal(signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(run.state.done))
    try:
        run.train()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [NUM_UPDATES]


def test_what_the_hook_raises_leaves_whole_checkpoints(make, tmp_path):
    with pytest.raises(Stop):
        make(on_update=stop_at(13)).train()
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"8", "12"}  # The newest two, none of them half-written.


def test_a_run_of_other_settings_is_refused(make, tmp_path):
    with pytest.raises(Stop):
        make(on_update=stop_at(7)).train()
    run = make()
    run._storage.identity["settings"] = {"epochs": "9"}
    with pytest.raises(InputError, match="--epochs: None then, 9 now"):
        run.train()


# --- Time


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(run_state, "time", clock)
    return clock


def test_seconds_are_those_of_all_processes(make, finish, clock):
    def tick(_):
        clock.now += 1.0

    def tick_until(update):
        def on_update(done):
            tick(done)
            stop_at(update)(done)

        return on_update

    with pytest.raises(Stop):
        make(on_update=tick_until(7)).train()  # Update 7 is lost with its second.
    clock.now += 1000  # Nothing is trained in between.
    with pytest.raises(Stop):
        make(on_update=tick_until(9)).train()
    clock.now += 1000
    run = finish(on_update=tick)
    assert run.state.seconds == NUM_UPDATES


def test_seconds_of_updates_that_were_in_vain_count(finish, clock):
    told = []

    def tick(done):
        told.append(done)
        clock.now += 1.0

    run = finish(poison=[13], on_update=tick)
    assert run.state.num_recoveries == 1
    assert run.state.seconds == len(told) > NUM_UPDATES


@pytest.fixture
def slow(clock):
    """Settings of a run that saves only when that is due, which is every third update.

    `tick` is to be called with each.
    """

    def tick(done):
        clock.now += CHECKPOINT_SECONDS / 3

    clock.tick = tick
    return {"checkpoint_every": NUM_UPDATES + 1}


@pytest.mark.parametrize(("updates", "saved"), [(9, {"3", "6"}), (12, {"9", "6"})])
def test_a_slow_run_saves_what_is_due_and_goes_on(
    make, finish, slow, clock, tmp_path, updates, saved
):
    whole = finish(folder="whole")

    def on_update(done):
        clock.tick(done)
        stop_at(updates)(done)

    with pytest.raises(Stop):
        make(on_update=on_update, **slow).train()
    assert {path.name for path in (tmp_path / "run").iterdir()} == saved
    run = finish(**slow)
    assert run.weight == whole.weight
    assert run.state.history == whole.state.history


def test_a_slow_run_saves_with_the_history_what_is_due_after_a_section(
    make, slow, clock, tmp_path
):
    def on_update(done):
        clock.now += CHECKPOINT_SECONDS / 4  # The second is due with update 8.
        stop_at(9)(done)

    with pytest.raises(Stop):
        make(on_update=on_update, **slow).train()
    saved = Checkpoints(tmp_path / "run")
    assert (saved.latest, saved.about()["history"]["update"]) == (8, [8])


def test_divergence_of_a_slow_run_goes_back_to_what_was_due(
    finish, slow, clock, logged
):
    run = finish(poison=[13], on_update=clock.tick, **slow)
    assert run.state.num_recoveries == 1
    assert "Back to update 12," in logged.text


def test_a_fast_and_short_run_saves_nothing(finish, tmp_path):
    finish(checkpoint_every=NUM_UPDATES + 1)
    assert Checkpoints(tmp_path / "run").latest is None
    finish(checkpoint_every=NUM_UPDATES, folder="other")
    assert Checkpoints(tmp_path / "other").latest == NUM_UPDATES


# --- Divergence


def test_divergence_goes_back_and_leaves_the_batches_out_at_half_the_rate(
    finish, logged
):
    run = finish(poison=[13])
    assert run.state.num_recoveries == 1
    assert run.rate_factor == 0.5
    assert 13 in run.state.skipped
    kept = [n for n in range(12, NUM_UPDATES) if n not in run.state.skipped]
    expected = replayed(kept, RATE / 2, replayed(range(12)))
    assert run.weight == close(expected)
    assert "Back to update 12," in logged.text
    assert "at 0.5 of the learning rate (1 of 2 times)" in logged.text


def test_a_second_divergence_halves_the_rate_again(finish, logged):
    run = finish(poison=[9, 13])
    assert (run.state.num_recoveries, run.rate_factor) == (2, 0.25)
    assert run.state.skipped == {*range(8, 12), *range(12, 16)}
    assert "Back to update 8," in logged.text
    assert "Back to update 12," in logged.text
    assert "at 0.25 of the learning rate (2 of 2 times)" in logged.text
    rest = range(16, NUM_UPDATES)
    assert run.weight == close(replayed(rest, RATE / 4, replayed(range(8))))


def test_what_was_left_out_stays_so_when_it_goes_back_beyond_it(finish, logged):
    # Both times to the start; were 5 forgotten then, it would diverge a third time.
    section = {"section": 20, "epochs": 2, "checkpoint_every": 40}
    run = finish(poison=[5, 18], **section)
    assert run.state.num_recoveries == 2
    assert logged.text.count("Back to update 0,") == 2
    assert run.state.skipped == set(range(20))
    assert run.weight == close(replayed(range(20, 40), RATE / 4))


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_more_divergences_than_may_be_stop_the_run(make, limit):
    run = make(poison=[3, 11, 19], max_recoveries=limit)
    with pytest.raises(Diverged, match="The loss became nan"):
        run.train()
    assert run.state.num_recoveries == limit


def test_divergence_without_a_checkpoint_stops_the_run(make):
    for options in ({"folder": None}, {"checkpoint_every": NUM_UPDATES + 1}):
        with pytest.raises(Diverged):
            make(poison=[3], **options).train()


def test_an_interruption_forgets_no_recovery(make, finish, logged):
    poison = [9, 19]
    whole = finish(poison=poison, folder="whole")
    with pytest.raises(Stop):
        make(poison=poison, on_update=stop_at(15)).train()
    run = finish(poison=poison)
    assert run.state.skipped == whole.state.skipped
    assert (run.state.num_recoveries, run.rate_factor) == (2, 0.25)
    assert run.weight == whole.weight
    assert run.state.history == whole.state.history


def test_recoveries_of_all_processes_count(make):
    poison = [9, 19]
    with pytest.raises(Stop):
        make(poison=poison, max_recoveries=1, on_update=stop_at(15)).train()
    with pytest.raises(Diverged):
        make(poison=poison, max_recoveries=1).train()


def test_sigterm_while_the_loss_diverges_saves_after_the_way_back(
    make, finish, tmp_path
):
    poison = [13]
    with pytest.raises(SystemExit):
        make(poison=poison, on_update=terminate_at(14)).train()
    saved = Checkpoints(tmp_path / "run")
    assert saved.about()["num_recoveries"] == 1
    assert saved.latest == 13  # Back to 12, and one update on.
    run = finish(poison=poison)
    assert np.isfinite(run.weight)
    assert (run.state.num_recoveries, run.rate_factor) == (1, 0.5)


# --- The best weights

# The weight moves to 1, away from what is validated: each section is worse.
WORSENING = {"validation": np.zeros(SECTION, "float32"), "epochs": 6}


def best():
    return KeepBest("val_loss", "min", patience=2)


def test_a_run_stops_when_patience_ends(finish):
    run = finish(best=best(), **WORSENING)
    assert run.state.history["update"] == [8, 16, 24]
    assert [kept.epoch for kept in run.best.kept] == [0]
    (kept,) = run.best.kept[0].weights
    assert kept == close(replayed(range(8)))


@pytest.mark.parametrize("stop", [7, 13, 20])
def test_patience_goes_on_where_it_was_interrupted(make, finish, stop):
    with pytest.raises(Stop):
        make(best=best(), on_update=stop_at(stop), **WORSENING).train()
    run = finish(best=best(), **WORSENING)
    assert run.state.history["update"] == [8, 16, 24]
    assert [kept.epoch for kept in run.best.kept] == [0]
    (kept,) = run.best.kept[0].weights
    assert kept == close(replayed(range(8)))


def test_a_run_that_was_over_when_it_was_interrupted_is_over(make, finish):
    run = make(best=best(), **WORSENING)

    def stop_at_the_third(first):
        if first == 2:
            raise Stop

    run.on_history = stop_at_the_third
    with pytest.raises(Stop):
        run.train()
    told = []
    run = finish(best=best(), on_update=told.append, **WORSENING)
    assert told == []
    assert run.state.history["update"] == [8, 16, 24]


def test_history_is_told_again_after_an_interruption(make, finish):
    told = []
    run = make(on_update=stop_at(17))
    run.on_history = told.append
    with pytest.raises(Stop):
        run.train()
    assert told == [0, 1]
    told.clear()
    run = make()
    run.on_history = told.append
    run.train()
    assert told == [0, 2]  # From the first on, and from the third.

import dataclasses
import json
import os
import random
import signal
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from sentiment.cli import main
from sentiment.config import (
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.training import fitting, resumable_run, run_state
from sentiment.training.callbacks import Diverged, ProgressBar
from sentiment.training.train import train_and_evaluate, train_and_validate
from tests.conftest import FreshProcess, Stop, stop_at, terminate_at
from tests.training.conftest import MODEL, command_of

NUM_KILLS = 10


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_data):
    """60 updates in 6 epochs, with all that has a state of its own."""
    folder = tmp_path_factory.mktemp("reviews")
    return RunConfig(
        write_data(folder, 200, 20),
        ModelConfig(**MODEL, dropout=0.3),
        TrainingConfig(
            batch_size=3,
            gradient_accumulation_steps=2,
            row_length=24,
            epochs=6,
            learning_rate=0.03,
            early_stopping_patience=5,
            checkpoint_every=7,
            ema_momentum=0.5,
            average_best=2,
        ),
        SpeedConfig(cache_dir=str(folder / "cache")),
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that was never interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train_and_evaluate(config, workdir)


def assert_same_run(workdir, other):
    one, two = load_classifier(workdir), load_classifier(other)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (workdir / "history.csv").read_text() == (other / "history.csv").read_text()
    runs = [
        json.loads((w / "metrics.json").read_text())["run"] for w in (workdir, other)
    ]
    assert runs[0]["averaged_epochs"] == runs[1]["averaged_epochs"]


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(config, workdir, moment, kind):
    """The process ends by SIGKILL at an update, or in what comes after it.

    That is a checkpoint that has begun to be written ("save") or a validation.
    """

    def begin_to_die(done):
        if done < moment:
            return
        if kind == "update":
            die()
        elif kind == "validation":
            keras.callbacks.CallbackList.on_test_begin = die
        else:
            save = resumable_run.Checkpoints.save

            def save_and_die(*arguments):
                save(*arguments)
                die()

            resumable_run.Checkpoints.save = save_and_die

    train_and_evaluate(config, workdir, on_update=begin_to_die)


def test_a_run_killed_ten_times_ends_like_the_whole_one(config, whole, tmp_path):
    assert whole[1].metrics["run"]["num_updates"] == 60
    workdir = tmp_path / "run"
    draw = random.Random(0)
    moments = sorted(draw.sample(range(1, 56), NUM_KILLS))
    kinds = ["save", "validation", *["update"] * (NUM_KILLS - 2)]
    draw.shuffle(kinds)
    for moment, kind in zip(moments, kinds, strict=True):
        killed = FreshProcess(train_and_die, config, workdir, moment, kind)
        printed = killed.wait()
        assert killed.status == -signal.SIGKILL, printed
        assert not (workdir / "metrics.json").exists()
    again = FreshProcess(main.main, ["train", *command_of(config, workdir)])
    printed = again.wait()
    assert again.status == 0, printed
    assert "Going on after update" in printed
    assert_same_run(workdir, whole[0])


@pytest.mark.parametrize("updates", [3, 17, 40])
def test_an_interrupted_run_ends_like_the_whole_one(config, whole, tmp_path, updates):
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path, on_update=stop_at(updates))
    train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])
    assert not (tmp_path / "checkpoints").exists()


def test_sigterm_saves_before_the_process_ends(
    config, whole, tmp_path, monkeypatch, fast_clock
):
    with pytest.raises(SystemExit) as left:
        train_and_evaluate(config, tmp_path, on_update=terminate_at(23))
    assert left.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "checkpoints" / "23").is_dir()
    seconds = resumable_run.Checkpoints(tmp_path / "checkpoints").about()["seconds"]
    monkeypatch.undo()
    result = train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])
    # Of both sittings; the second has the real clock.
    assert 0 < result.metrics["run"]["training_seconds"] - seconds < 1e5


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    config, whole, tmp_path, fill_disk
):
    fill_disk("train", 16, config, tmp_path / "run", last=14)
    train_and_evaluate(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole[0])


def test_a_second_process_is_refused_while_one_trains(config, tmp_path, refused_beside):
    refused_beside("train", config, tmp_path / "run", train_and_evaluate)


def test_changed_settings_are_refused_with_their_names(config, tmp_path):
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path, on_update=stop_at(17))
    changed = config.replaced(learning_rate=0.01)
    with pytest.raises(InputError, match=r"--learning_rate: 0.03 then, 0.01 now"):
        train_and_evaluate(changed, tmp_path)
    train_and_evaluate(changed.replaced(epochs=1), tmp_path, overwrite=True)


def test_a_changed_data_file_is_refused_by_name(config, tmp_path):
    texts = {
        name: Path(getattr(config.data, name)).read_text()
        for name in ("train_file", "test_file")
    }
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    data = dataclasses.replace(
        config.data, **{name: str(path) for name, path in paths.items()}
    )
    config = dataclasses.replace(config, data=data)
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path / "run", on_update=stop_at(8))
    for name, path in paths.items():
        path.write_text(texts[name].replace("great", "grand"))
        with pytest.raises(InputError, match=f"--{name}: .*{name}.csv has changed"):
            train_and_evaluate(config, tmp_path / "run")
        path.write_text(texts[name])


def test_a_short_run_writes_no_checkpoints(config, tmp_path, monkeypatch):
    def save(*_):
        raise AssertionError

    monkeypatch.setattr(resumable_run.Checkpoints, "save", save)
    train_and_evaluate(config.replaced(epochs=1, checkpoint_every=11), tmp_path)


@pytest.fixture
def slow(monkeypatch):
    """Lets every update take 250 seconds, in a run with no checkpoint but for that."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)

    def advance(*_, **__):
        clock.now += 250

    monkeypatch.setattr(run_state, "time", clock)
    monkeypatch.setattr(ProgressBar, "on_train_batch_begin", advance)
    return {"checkpoint_every": 61}


def test_a_short_but_slow_run_goes_on_too(config, whole, tmp_path, slow):
    config = config.replaced(**slow)
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path, on_update=stop_at(28))
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} >= {"24", "27"}
    train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])


def test_a_slow_run_saves_after_a_validation_too(config, tmp_path, slow):
    # The last of these was due with update 30.
    with pytest.raises(Stop):
        train_and_evaluate(config.replaced(**slow), tmp_path, on_update=stop_at(32))
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} >= {"27", "30"}


# --- Reports


def test_each_epoch_is_reported_and_again_by_a_run_that_goes_on(
    config, whole, tmp_path
):
    told = []

    def report(*what):
        told.append(what)

    with pytest.raises(Stop):
        train_and_validate(config, tmp_path, report, on_update=stop_at(25))
    epochs = list(enumerate(whole[1].history["val_accuracy"], 1))
    assert told == epochs[:2]
    told.clear()
    metrics = train_and_validate(config, tmp_path, report)
    assert told == epochs
    assert metrics == whole[1].metrics["validation"]


def test_a_report_may_stop_the_run(config, tmp_path):
    def report(epoch, value):
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        train_and_validate(config, tmp_path, report)
    assert {path.name for path in tmp_path.iterdir()} >= {"14", "20"}


# --- Divergence


@pytest.mark.parametrize("factor", [np.nan, 1e4])
def test_divergence_goes_back_and_leaves_the_batch_out(
    config, tmp_path, poison, logged, factor
):
    poison(25, factor)
    result = train_and_evaluate(config, tmp_path)
    assert result.metrics["run"]["num_recoveries"] == 1
    assert np.isfinite(result.history["loss"]).all()
    printed = logged.text
    assert "Back to update 21" in printed
    assert "at 0.5 of the learning rate (1 of 2 times)" in printed


def test_divergence_of_a_slow_run_goes_back_to_its_last_checkpoint(
    config, tmp_path, poison, logged, slow
):
    poison(25)
    result = train_and_evaluate(config.replaced(**slow), tmp_path)
    assert result.metrics["run"]["num_recoveries"] == 1
    assert "Back to update 24" in logged.text


def test_divergence_of_a_short_run_stops_it(config, tmp_path, poison):
    poison(25)
    with pytest.raises(Diverged, match="The loss became nan"):
        train_and_evaluate(config.replaced(checkpoint_every=61), tmp_path)


def test_a_run_that_has_recovered_may_be_interrupted(config, tmp_path, poison):
    poison(25)
    expected = train_and_evaluate(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path / "cut", on_update=stop_at(36))
    about = resumable_run.Checkpoints(tmp_path / "cut" / "checkpoints").about()
    assert about["skipped"] and about["num_recoveries"] == 1
    found = train_and_evaluate(config, tmp_path / "cut")
    assert found.metrics["run"]["num_recoveries"] == 1
    assert found.history == expected.history
    pairs = zip(
        found.classifier.get_weights(), expected.classifier.get_weights(), strict=True
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_divergence_without_end_stops_and_keeps_the_last_good_checkpoint(
    config, tmp_path, poison
):
    poison(25, forever=True)
    with pytest.raises(Diverged, match="The loss became nan"):
        train_and_evaluate(config, tmp_path)
    about = resumable_run.Checkpoints(tmp_path / "checkpoints").about()
    assert np.isfinite(about["history"]["loss"]).all()
    assert len(about["history"]["loss"]) >= 2


# --- Averages


def test_the_average_over_updates_is_what_is_validated_and_kept(config, tmp_path):
    config = config.replaced(average_best=1, epochs=2)
    result = train_and_evaluate(config, tmp_path)
    plain = train_and_evaluate(config.replaced(ema_momentum=0.0), tmp_path / "plain")
    pairs = zip(
        result.classifier.get_weights(), plain.classifier.get_weights(), strict=True
    )
    assert any(np.any(a != b) for a, b in pairs)
    # The same updates, so the same training losses; other validated weights.
    assert result.history["loss"] == plain.history["loss"]
    assert result.history["val_cross_entropy"] != plain.history["val_cross_entropy"]
    best = result.metrics["run"]["best_epoch"] - 1
    assert result.metrics["validation"]["loss"] == pytest.approx(
        result.history["val_cross_entropy"][best], rel=1e-4
    )


def test_a_soup_is_the_mean_of_the_best_and_kept_if_validation_agrees(
    config, tmp_path, monkeypatch
):
    config = config.replaced(ema_momentum=0.0, monitor="loss")
    seen = []
    take_best = fitting._Fit.set_best_weights

    def spy(self):
        seen.append([kept.weights for kept in self.best.kept])
        return take_best(self)

    monkeypatch.setattr(fitting._Fit, "set_best_weights", spy)
    result = train_and_evaluate(config, tmp_path)
    (kept,) = seen
    assert len(kept) == 2
    averaged = result.metrics["run"]["averaged_epochs"]
    for i, weights in enumerate(result.classifier.get_weights()):
        wanted = (
            kept[0][i]
            if len(averaged) == 1
            else np.mean([kept[0][i], kept[1][i]], axis=0, dtype=np.float64)
        )
        np.testing.assert_allclose(weights, wanted, rtol=1e-6, atol=1e-9)
    value = result.metrics["validation"]["loss"]
    best = min(result.history["val_cross_entropy"])
    assert (value <= best * (1 + 1e-4)) or len(averaged) == 1


def test_optimizer_state_is_not_in_the_result(config, whole):
    assert isinstance(whole[1].classifier.optimizer, keras.optimizers.Adam)

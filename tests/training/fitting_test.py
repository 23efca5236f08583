import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from sentiment.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.serving.loading import load_classifier
from sentiment.training import fitting
from sentiment.training.callbacks import Diverged
from sentiment.training.train import train_and_evaluate, train_and_validate
from tests.training.conftest import MODEL

ROOT = Path(__file__).resolve().parent.parent.parent
NUM_KILLS = 10


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_reviews):
    """60 updates in 6 epochs, with all that has a state of its own."""
    folder = tmp_path_factory.mktemp("reviews")
    return RunConfig(
        DataConfig(
            train_file=write_reviews(folder / "train.csv", 200, seed=0),
            test_file=write_reviews(folder / "test.csv", 20, seed=1),
            validation_fraction=0.3,
        ),
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


def replaced(config, **training):
    training = dataclasses.replace(config.training, **training)
    return dataclasses.replace(config, training=training)


class Stop(Exception):
    pass


@pytest.fixture
def stop_at(monkeypatch):
    """Lets a run stop after so many updates, once."""

    def arrange(updates):
        original = fitting._Saver.on_train_batch_end

        def stopping(self, batch, logs=None):
            original(self, batch, logs)
            step = self.first_step + batch + 1
            if self.epoch * self.run.plan.num_batches + step == updates:
                self.run.checkpoints.wait()
                monkeypatch.undo()
                raise Stop

        monkeypatch.setattr(fitting._Saver, "on_train_batch_end", stopping)

    return arrange


# The process ends by SIGKILL at the given update: after it, or, for "save", when a
# checkpoint has begun to be written, or, for "validation", in the validation after it.
KILLED = """
    import os, signal, sys
    import sentiment, flags
    from sentiment.training import checkpoints, fitting, train

    moment, kind = int(sys.argv[1]), sys.argv[2]
    command = flags.parse_train(["train.py", *sys.argv[3:]])

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def dying(owner, name, is_time):
        original = getattr(owner, name)
        def run(self, *arguments, **options):
            original(self, *arguments, **options)
            if is_time(self, *arguments):
                die()
        setattr(owner, name, run)

    def done(saver, batch):
        step = saver.first_step + batch + 1
        return saver.epoch * saver.run.plan.num_batches + step

    if kind == "update":
        saver = fitting._Saver
        dying(saver, "on_train_batch_end", lambda s, b, *_: done(s, b) >= moment)
    elif kind == "save":
        dying(checkpoints.Checkpoints, "save", lambda c, step, *_: step >= moment)
    else:
        fitting._Saver.on_test_begin = lambda s, *_: (
            die() if (s.epoch + 1) * s.run.plan.num_batches >= moment else None
        )
    train.train_and_evaluate(command.run, command.workdir)
"""


def test_a_run_killed_ten_times_ends_like_the_whole_one(config, whole, tmp_path):
    assert whole[1].metrics["run"]["num_updates"] == 60
    flagfile = tmp_path / "run.cfg"
    flagfile.write_text(config.to_flagfile())
    command = [f"--flagfile={flagfile}", f"--workdir={tmp_path / 'run'}"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"}
    draw = random.Random(0)
    moments = sorted(draw.sample(range(1, 56), NUM_KILLS))
    kinds = ["save", "validation", *["update"] * (NUM_KILLS - 2)]
    draw.shuffle(kinds)
    for moment, kind in zip(moments, kinds, strict=True):
        killed = subprocess.run(
            [
                sys.executable,
                "-c",
                textwrap.dedent(KILLED),
                str(moment),
                kind,
                *command,
            ],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (tmp_path / "run" / "metrics.json").exists()
    again = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *command],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert "Going on after update" in again.stdout
    assert_same_run(tmp_path / "run", whole[0])


@pytest.mark.parametrize("updates", [3, 17, 40])
def test_an_interrupted_run_ends_like_the_whole_one(
    config, whole, tmp_path, stop_at, updates
):
    stop_at(updates)
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path)
    train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])
    assert not (tmp_path / "checkpoints").exists()


def test_sigterm_saves_before_the_process_ends(config, whole, tmp_path, monkeypatch):
    original = fitting._Saver.on_train_batch_end

    def asking(self, batch, logs=None):
        if self.epoch == 2 and batch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch, logs)

    monkeypatch.setattr(fitting._Saver, "on_train_batch_end", asking)
    with pytest.raises(SystemExit) as left:
        train_and_evaluate(config, tmp_path)
    assert left.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "checkpoints" / "23").is_dir()
    monkeypatch.undo()
    train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])


def test_changed_settings_are_refused_with_their_names(config, tmp_path, stop_at):
    stop_at(17)
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path)
    changed = replaced(config, learning_rate=0.01)
    with pytest.raises(InputError, match=r"--learning_rate: 0.03 then, 0.01 now"):
        train_and_evaluate(changed, tmp_path)
    train_and_evaluate(replaced(changed, epochs=1), tmp_path, overwrite=True)


def test_changed_data_are_refused(config, tmp_path, stop_at):
    path = tmp_path / "train.csv"
    text = Path(config.data.train_file).read_text()
    path.write_text(text)
    data = dataclasses.replace(config.data, train_file=str(path))
    config = dataclasses.replace(config, data=data)
    stop_at(17)
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path / "run")
    path.write_text(text.replace("great", "grand"))
    with pytest.raises(InputError, match="the data have changed"):
        train_and_evaluate(config, tmp_path / "run")


def test_a_short_run_writes_no_checkpoints(config, tmp_path, monkeypatch):
    def save(*_):
        raise AssertionError

    monkeypatch.setattr(fitting.Checkpoints, "save", save)
    train_and_evaluate(replaced(config, epochs=1, checkpoint_every=11), tmp_path)


# --- Reports


def test_each_epoch_is_reported_and_again_by_a_run_that_goes_on(
    config, whole, tmp_path, stop_at
):
    told = []

    def report(*what):
        told.append(what)

    stop_at(25)
    with pytest.raises(Stop):
        train_and_validate(config, tmp_path, report)
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


@pytest.fixture
def poison(monkeypatch):
    """Makes the data of one update, or of all from it on, a NaN in the loss."""

    def arrange(update, forever=False):
        original = fitting._SkippingRows.__getitem__

        class Poisoned(list):
            pass

        def getitem(self, index):
            rows = original(self, index)
            is_bad = index >= update if forever else index == update
            return Poisoned(rows) if is_bad and rows else rows

        plan_batch = fitting.BatchPlan.batch

        def batch(self, rows):
            x, y, weights = plan_batch(self, rows)
            return (
                x,
                y,
                weights * np.float32(np.nan if isinstance(rows, Poisoned) else 1),
            )

        monkeypatch.setattr(fitting._SkippingRows, "__getitem__", getitem)
        monkeypatch.setattr(fitting.BatchPlan, "batch", batch)

    return arrange


def test_divergence_goes_back_and_leaves_the_batch_out(
    config, tmp_path, poison, capsys
):
    poison(25)
    result = train_and_evaluate(config, tmp_path)
    assert result.metrics["run"]["num_recoveries"] == 1
    assert np.isfinite(result.history["loss"]).all()
    printed = capsys.readouterr().out
    assert "Back to update 21" in printed
    assert "at 0.5 of the learning rate (1 of 2 times)" in printed


def test_divergence_without_end_stops_and_keeps_the_last_good_checkpoint(
    config, tmp_path, poison
):
    poison(25, forever=True)
    with pytest.raises(Diverged, match="The loss became nan"):
        train_and_evaluate(config, tmp_path)
    about = fitting.Checkpoints(tmp_path / "checkpoints").about()
    assert np.isfinite(about["history"]["loss"]).all()
    assert len(about["history"]["loss"]) >= 2


# --- Averages


def test_the_average_over_updates_is_what_is_validated_and_kept(config, tmp_path):
    config = replaced(config, average_best=1, epochs=2)
    result = train_and_evaluate(config, tmp_path)
    plain = train_and_evaluate(replaced(config, ema_momentum=0.0), tmp_path / "plain")
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
    config = replaced(config, ema_momentum=0.0, monitor="loss")
    seen = []
    take_best = fitting._Fit._take_best

    def spy(self):
        seen.append([kept.weights for kept in self.best.kept])
        return take_best(self)

    monkeypatch.setattr(fitting._Fit, "_take_best", spy)
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

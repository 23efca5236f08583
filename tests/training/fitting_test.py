import dataclasses
import itertools
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import sentiment
from sentiment.cli import main
from sentiment.config import (
    BackboneConfig,
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones import KINDS
from sentiment.training import fitting, resumable_run
from sentiment.training.callbacks import KeepBest, Kept
from sentiment.training.fitting import set_best_weights
from sentiment.training.train import train_and_evaluate, train_and_validate
from tests.conftest import FreshProcess, Stop, stop_at, terminate_at
from tests.models import huggingface_folders
from tests.training.conftest import MODEL, command_of, dying_at
from tests.training.resumable_run_test import OneNumberPlan, one_weight

NUM_UPDATES = 40


@pytest.fixture(scope="module")
def config(tmp_path_factory, write_data):
    """40 updates in 4 epochs, with all that has a state of its own."""
    folder = tmp_path_factory.mktemp("reviews")
    return RunConfig(
        write_data(folder, 200, 20),
        ModelConfig(**MODEL, dropout=0.3),
        TrainingConfig(
            batch_size=3,
            gradient_accumulation_steps=2,
            row_length=24,
            epochs=4,
            learning_rate=0.03,
            early_stopping_patience=3,
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


def train_and_die(config, workdir, moment, kind):
    train_and_evaluate(config, workdir, on_update=dying_at(moment, kind))


def test_a_killed_run_ends_like_the_whole_one(config, whole, tmp_path):
    assert whole[1].metrics["run"]["num_updates"] == NUM_UPDATES
    workdir = tmp_path / "run"
    for moment, kind in ((5, "update"), (13, "save"), (25, "validation")):
        killed = FreshProcess(train_and_die, config, workdir, moment, kind)
        printed = killed.wait()
        assert killed.status == -signal.SIGKILL, printed
        assert not (workdir / "metrics.json").exists()
    again = FreshProcess(main.main, ["train", *command_of(config, workdir)])
    printed = again.wait()
    assert again.status == 0, printed
    assert "Going on after update" in printed
    assert_same_run(workdir, whole[0])


@pytest.mark.parametrize("updates", [3, 17, 30])
def test_an_interrupted_run_ends_like_the_whole_one(config, whole, tmp_path, updates):
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path, on_update=stop_at(updates))
    train_and_evaluate(config, tmp_path)
    assert_same_run(tmp_path, whole[0])
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("kind", ["bert", "xlnet"])
def test_fine_tuning_of_any_make_goes_on_exactly(config, tmp_path, kind):
    """Its blocks have dropout, and it comes from a preset with a tokenizer."""
    sizes = BackboneConfig(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)
    tokenizer = sentiment.FastTokenizer(huggingface_folders.definition())
    keras.utils.set_random_seed(1)
    backbone = KINDS[kind].fresh(sizes, tokenizer.vocabulary_size(), "float32")
    backbone.save_to_preset(str(tmp_path / "preset"))
    tokenizer.save_to_preset(str(tmp_path / "preset"))
    model = ModelConfig(
        preset=str(tmp_path / "preset"), sequence_length=12, dropout=0.3
    )
    config = dataclasses.replace(config.replaced(epochs=1), model=model)
    train_and_evaluate(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train_and_evaluate(config, tmp_path / "run", on_update=stop_at(8))
    train_and_evaluate(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


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
    changed = config.replaced(early_stopping_patience=2)
    message = "--early_stopping_patience: 3 then, 2 now"
    with pytest.raises(InputError, match=message):
        train_and_evaluate(changed, tmp_path)
    told = []
    with pytest.raises(Stop):
        train_and_evaluate(
            changed, tmp_path, True, lambda done: told.append(done) or stop_at(2)(done)
        )
    assert told == [1, 2]


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


def test_divergence_goes_back_and_leaves_the_batch_out(
    config, tmp_path, poison, logged
):
    poison(25, 1e4)
    result = train_and_evaluate(config, tmp_path)
    assert result.metrics["run"]["num_recoveries"] == 1
    assert np.isfinite(result.history["loss"]).all()
    printed = logged.text
    assert "Back to update 21" in printed
    assert "at 0.5 of the learning rate (1 of 2 times)" in printed


# --- Averages


def test_the_average_over_updates_is_what_is_validated_and_kept(
    config, whole, tmp_path
):
    config = config.replaced(average_best=1)
    result = train_and_evaluate(config, tmp_path)
    plain = train_and_evaluate(config.replaced(ema_momentum=0.0), tmp_path / "plain")
    pairs = zip(
        result.classifier.get_weights(), plain.classifier.get_weights(), strict=True
    )
    assert any(np.any(a != b) for a, b in pairs)
    # The same updates, so the same training losses; other validated weights.
    assert result.history["loss"] == plain.history["loss"]
    assert result.history["val_cross_entropy"] != plain.history["val_cross_entropy"]
    assert result.history == whole[1].history
    best = result.metrics["run"]["best_epoch"] - 1
    assert result.metrics["validation"]["loss"] == pytest.approx(
        result.history["val_cross_entropy"][best], rel=1e-4
    )


@pytest.mark.parametrize(
    ("weights", "epochs", "weight"),
    [
        ([0.75, 1.75], [3, 5], 1.25),  # 1.25 is as near to 1 as the best.
        ([1.25, 0.5], [3, 5], 0.875),  # 0.875 is nearer.
        ([0.75, 2.0], [3], 0.75),  # 1.375 is further off.
        ([0.75], [3], 0.75),
        ([1.25, 0.5, 0.5], [3, 5, 6], 0.75),
    ],
)
def test_the_average_is_taken_if_it_validates_no_worse(weights, epochs, weight):
    best = KeepBest("val_loss", "min", patience=1, count=3)
    best.kept = [
        Kept((value - 1) ** 2, epoch - 1, [np.float32([[value]])])
        for value, epoch in zip(weights, (3, 5, 6), strict=False)
    ]
    plan = OneNumberPlan(np.ones(8, "float32"), 8)
    model = one_weight()
    assert set_best_weights(model, best, plan) == epochs
    assert model.get_weights()[0] == weight


def test_fit_keeps_as_many_as_it_is_told_and_takes_what_is_best(
    config, tmp_path, monkeypatch
):
    kept = []

    def take_the_second(model, best, validation_plan):
        kept.extend(best.kept)
        model.set_weights(best.kept[1].weights)
        return [best.kept[1].epoch + 1]

    monkeypatch.setattr(fitting, "set_best_weights", take_the_second)
    result = train_and_evaluate(config, tmp_path)
    scores = sorted(result.history["val_accuracy"], reverse=True)
    assert [one.value for one in kept] == scores[:2]
    second = kept[1]
    assert result.metrics["run"]["averaged_epochs"] == [second.epoch + 1]
    pairs = zip(result.classifier.get_weights(), second.weights, strict=True)
    for found, wanted in pairs:
        np.testing.assert_array_equal(found, wanted)


# --- Patience


@pytest.mark.parametrize("patience", [1, 2])
def test_training_ends_so_many_epochs_after_the_best(config, tmp_path, patience):
    # So low a rate changes no weight, and no epoch is better than the first.
    config = config.replaced(learning_rate=1e-30, early_stopping_patience=patience)
    result = train_and_evaluate(config.replaced(average_best=1), tmp_path)
    assert result.history["epoch"] == list(range(1, patience + 2))
    assert result.metrics["run"]["best_epoch"] == 1


@pytest.mark.parametrize(
    ("patience", "last", "taken"), [(1, 3, 2), (2, 4, 2), (3, 5, 2), (5, 7, 7)]
)
def test_patience_is_epochs_without_a_better_score(patience, last, taken):
    scores = [0.5, 0.7, 0.6, 0.7, 0.6, 0.6, 0.9]
    best = KeepBest("val_accuracy", "max", patience)
    epochs = itertools.count(1)
    model = SimpleNamespace(stop_training=False, get_weights=lambda: epoch)
    best.set_model(model)
    while not model.stop_training and (epoch := next(epochs)) <= len(scores):
        best.on_test_end()
        best.on_epoch_end(epoch - 1, {"val_accuracy": scores[epoch - 1]})
    assert min(epoch, len(scores)) == last
    assert best.kept[0].weights == taken


def test_optimizer_state_is_not_in_the_result(config, whole):
    assert isinstance(whole[1].classifier.optimizer, keras.optimizers.Adam)

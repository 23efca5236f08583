import dataclasses
import functools
import json
import os

import numpy as np
import pytest

from sentiment.compression import compress as module
from sentiment.compression.compress import compress, milliseconds_per_review
from sentiment.config import (
    CompressionConfig,
    CompressRunConfig,
    DataConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.evaluation.evaluate import evaluate_split
from sentiment.evaluation.predictions import read_predictions
from sentiment.inference.loading import load_classifier
from tests.conftest import Stop, stop_at
from tests.training.conftest import TRAINING

LABELS = ("bad", "good")
TEXTS = ["Lovely and superb!", "dull the film", "a boring one"]


@pytest.fixture
def model(make_classifier, make_backbone, randomize, tmp_path):
    """A workdir with a classifier of four layers."""
    classifier = make_classifier(num_classes=2, backbone=make_backbone(num_layers=4))
    classifier.label_names = LABELS
    randomize(classifier, 0.1)
    (tmp_path / "model").mkdir()
    classifier.save(tmp_path / "model" / "model.keras")
    classifier.save_to_preset(tmp_path / "model" / "preset")
    return str(tmp_path / "model")


@pytest.fixture
def data(write_rows, tmp_path):
    return DataConfig(
        train_file=write_rows(tmp_path / "train.csv", 60),
        test_file=write_rows(tmp_path / "test.csv", 20),
        validation_fraction=0.3,
    )


@pytest.fixture
def write_rows():
    def write(path, count):
        rows = [f"{TEXTS[i % 3]} {i},{LABELS[i % 3 == 0]}" for i in range(count)]
        path.write_text("\n".join(["text,label", *rows, ""]))
        return str(path)

    return write


@pytest.fixture
def make_config(model, data):
    def make(training=None, data=data, **settings):
        settings = {"model": model, **settings}
        return CompressRunConfig(
            data,
            CompressionConfig(**settings),
            TrainingConfig(**(training or {})),
            SpeedConfig(cache_dir=""),
        )

    return make


STUDENT = {**TRAINING, "epochs": 2}


@pytest.mark.parametrize("method", ["int8", "int4", "vocab", "distill"])
def test_what_is_saved_is_what_was_measured(make_config, data, tmp_path, method):
    training = STUDENT if method == "distill" else None
    metrics = compress(make_config(training, method=method), tmp_path / "small")
    assert metrics == json.loads((tmp_path / "small" / "metrics.json").read_text())
    assert (metrics["method"], metrics["split"]) == (method, "test")
    for place, name in (("model", "before"), ("small", "after")):
        saved = load_classifier(tmp_path / place)
        scores = evaluate_split(saved, data)
        for key in ("accuracy", "macro_f1", "expected_calibration_error"):
            assert metrics[name][key] == pytest.approx(scores[key], abs=1e-6)
        size = (tmp_path / place / "model.keras").stat().st_size
        assert metrics[name]["megabytes"] == pytest.approx(size / 1e6, rel=1e-3)
        assert metrics[name]["milliseconds_per_review"] > 0
    small = load_classifier(tmp_path / "small")
    of_preset = load_classifier(tmp_path / "small" / "preset")
    assert type(small) is type(of_preset)
    np.testing.assert_array_equal(small.predict(TEXTS), of_preset.predict(TEXTS))


@pytest.mark.parametrize("keep_layers, expected", [(0, 2), (3, 3)])
def test_a_student_has_layers_of_its_teacher_and_learns(
    make_config, tmp_path, keep_layers, expected
):
    settings = {"teacher_weight": 0.9, "keep_layers": keep_layers}
    compress(make_config(STUDENT, method="distill", **settings), tmp_path / "small")
    student = load_classifier(tmp_path / "small")
    assert student.backbone.num_layers == expected
    run = (tmp_path / "small" / "distillation" / "config.cfg").read_text()
    assert f"--teacher={tmp_path / 'model'}\n" in run
    assert "--teacher_weight=0.9\n" in run
    history = (tmp_path / "small" / "distillation" / "history.csv").read_text()
    assert len(history.splitlines()) == 3


def test_a_student_sees_its_teachers_classes_in_the_datas_order(
    make_config, model, data, tmp_path
):
    teacher = load_classifier(model)
    teacher.label_names = LABELS[::-1]
    teacher.save(f"{model}/model.keras")
    teacher.save_to_preset(f"{model}/preset")
    config = make_config(STUDENT, method="distill", teacher_weight=1.0)
    metrics = compress(config, tmp_path / "small")
    student = load_classifier(tmp_path / "small")
    assert student.label_names == LABELS
    scores = evaluate_split(student, data)
    assert metrics["after"]["accuracy"] == pytest.approx(scores["accuracy"])
    assert metrics["before"]["accuracy"] == pytest.approx(
        evaluate_split(teacher, data)["accuracy"]
    )
    predictions = read_predictions(tmp_path / "small")
    assert predictions.label_names == LABELS
    assert predictions.is_correct.mean() == pytest.approx(scores["accuracy"])


def test_settings_reach_the_students_run(make_config, tmp_path, monkeypatch):
    received = []

    def stop(run, workdir):
        received.append(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_and_evaluate", stop)
    more = tmp_path / "more.txt"
    more.write_text("quite dull")
    settings = {"dropout": 0.3, "unlabelled_file": str(more), "teacher_weight": 0.9}
    with pytest.raises(KeyboardInterrupt):
        compress(make_config(STUDENT, method="distill", **settings), tmp_path / "small")
    (run,) = received
    assert run.model.dropout == 0.3
    assert run.unlabelled.unlabelled_file == (str(more),)
    assert run.unlabelled.teacher_weight == 0.9
    assert run.training == TrainingConfig(**STUDENT)


def test_tokens_that_are_rare_are_left_out_on_request(make_config, data, tmp_path):
    sizes = []
    for count in (1, 1000):
        config = make_config(method="vocab", min_token_count=count)
        compress(config, tmp_path / str(count))
        sizes.append(load_classifier(tmp_path / str(count)).backbone.vocabulary_size)
    assert sizes[1] == 257 < sizes[0]


def contents(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_an_overwriting_distillation_goes_on_after_an_interruption(
    make_config, tmp_path, monkeypatch
):
    compress(make_config(method="int8"), tmp_path / "small")
    training = {**STUDENT, "epochs": 4, "checkpoint_every": 5}
    config = make_config(training, method="distill")
    stopped = functools.partial(module.train_and_evaluate, on_update=stop_at(12))
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(module, "train_and_evaluate", stopped)
        compress(config, tmp_path / "small", overwrite=True)
    assert json.loads((tmp_path / "small" / "metrics.json").read_text())["split"]
    compress(config, tmp_path / "small")
    compress(config, tmp_path / "whole")
    pairs = zip(
        load_classifier(tmp_path / "small").get_weights(),
        load_classifier(tmp_path / "whole").get_weights(),
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_nothing_of_an_older_run_is_left(make_config, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("history.csv", "data.cfg", "adapter.safetensors", "notes.txt"):
        (folder / name).write_text("old")
    (folder / "plots").mkdir()
    (folder / "distillation").mkdir()
    compress(make_config(method="vocab"), folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "model.keras",
        "preset",
        "config.cfg",
        "test_predictions.csv",
        "metrics.json",
        "notes.txt",
    }


@pytest.mark.parametrize("name", ["", "model.keras"])
def test_the_model_itself_is_not_replaced(make_config, model, name):
    config = make_config(method="int8", model=os.path.join(model, name))
    with pytest.raises(InputError, match="holds the model that is to be compressed"):
        compress(config, model, overwrite=True)


def test_an_interrupted_distillation_goes_on(make_config, tmp_path, monkeypatch):
    config = make_config(STUDENT, method="distill")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "milliseconds_per_review", stop)
        compress(config, tmp_path / "small")
    student = tmp_path / "small" / "checkpoints" / "distillation"
    expected = load_classifier(student).get_weights()
    monkeypatch.setattr(module, "train_and_evaluate", None)  # It is done.
    other = make_config(STUDENT, method="distill", keep_layers=3)
    with pytest.raises(InputError, match="holds a student of other settings"):
        compress(other, tmp_path / "small")
    compress(config, tmp_path / "small")
    found = load_classifier(tmp_path / "small").get_weights()
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, wanted)
    before = contents(tmp_path / "small")
    with pytest.raises(TypeError):  # Anew, it would be trained.
        compress(config, tmp_path / "small", overwrite=True)
    assert contents(tmp_path / "small") == before


def test_vocab_reads_the_training_data_alone(make_config, data, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("text,label\nthere was nothing,bad\nnothing less,good\n")
    config = make_config(method="vocab", data=data)
    compress(config, tmp_path / "small")
    small = load_classifier(tmp_path / "small").preprocessor.tokenizer.vocabulary
    large = load_classifier(tmp_path / "model").preprocessor.tokenizer.vocabulary
    assert "Ġth" in large.keys() & small.keys()  # of " the"
    assert "Ġnothing" in large.keys() - small.keys()


def test_without_test_data_validation_is_measured(make_config, data, tmp_path):
    data = dataclasses.replace(data, test_file="")
    metrics = compress(make_config(method="vocab", data=data), tmp_path / "small")
    assert metrics["split"] == "validation"
    assert metrics["after"]["num_examples"] == 18


def test_distill_needs_a_preset(make_config, model, tmp_path):
    file = f"{model}/model.keras"
    config = make_config(STUDENT, method="distill", model=file)
    with pytest.raises(InputError, match=f"--model={file}"):
        compress(config, tmp_path / "small")


def test_what_is_finished_or_quantised_is_refused(make_config, tmp_path):
    config = make_config(method="int8")
    compress(config, tmp_path / "small")
    with pytest.raises(InputError, match="finished run"):
        compress(config, tmp_path / "small")
    again = make_config(method="vocab", model=str(tmp_path / "small"))
    with pytest.raises(InputError, match="small is quantised already"):
        compress(again, tmp_path / "smaller")
    compress(make_config(method="vocab"), tmp_path / "small", overwrite=True)
    metrics = json.loads((tmp_path / "small" / "metrics.json").read_text())
    assert metrics["method"] == "vocab"


@pytest.mark.parametrize(
    "method, settings, names",
    [
        ("int8", {"keep_layers": 2}, "keep_layers"),
        ("vocab", {"teacher_weight": 0.1}, "teacher_weight"),
        ("distill", {"min_token_count": 2}, "min_token_count"),
        ("int8", {"dropout": 0.3}, "dropout"),
        ("int8", {"unlabelled_file": "a"}, "unlabelled_file"),
        ("int4", {"training": {"epochs": 9, "dtype": "mixed_bfloat16"}}, "epochs, --d"),
    ],
)
def test_settings_without_use_are_refused(make_config, method, settings, names):
    with pytest.raises(
        InputError, match=f"--method={method} makes no use of --{names}"
    ):
        make_config(method=method, **settings)


def test_a_student_must_have_something_to_learn_from(make_config):
    with pytest.raises(InputError, match="learns from --teacher_weight, --unlab"):
        make_config(STUDENT, method="distill", teacher_weight=0.0)
    with pytest.raises(InputError, match="is a split of a TFDS --dataset"):
        make_config(STUDENT, method="distill", unlabelled_split="unsupervised")


class Clock:
    """A classifier that takes a known time."""

    def __init__(self, name, seconds, log):
        self.name, self.seconds, self.log = name, iter(seconds), log

    def predict(self, texts, verbose):
        self.log.append((self.name, len(texts)))
        Clock.now += next(self.seconds)


def test_models_take_turns_and_the_median_counts(monkeypatch):
    Clock.now, log = 0.0, []
    monkeypatch.setattr(module.time, "perf_counter", lambda: Clock.now)
    # The first round compiles; one round is disturbed.
    slow = Clock("slow", [99.0, 4.0, 50.0, 4.0], log)
    fast = Clock("fast", [77.0, 60.0, 1.0, 1.0], log)
    found = milliseconds_per_review([slow, fast], ["text"] * 1000)
    assert found == pytest.approx([4000 / 200, 1000 / 200])
    assert log == [("slow", 200), ("fast", 200)] * 4

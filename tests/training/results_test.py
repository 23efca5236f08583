import csv
import json
import os

import numpy as np
import pytest

from sentiment.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from sentiment.errors import InputError
from sentiment.evaluation import plots
from sentiment.evaluation.evaluate import Evaluation
from sentiment.training.results import TrainingWorkdir

CONFIG = RunConfig(DataConfig(train_file="a.csv"), ModelConfig(), TrainingConfig())
HISTORY = {"epoch": [1, 2], "loss": [0.1 + 0.2, 1e-7]}


class FakeClassifier:
    """Saves its name, and in the preset a file of its name."""

    def __init__(self, name):
        self.name = name

    def save(self, path):
        path.write_text(self.name)

    def save_to_preset(self, path):
        path.mkdir()
        (path / self.name).write_text(self.name)


def make_evaluation():
    labels, probabilities = [0, 1], np.array([[0.75, 0.25], [0.75, 0.25]])
    return Evaluation.of(labels, probabilities, ["a", "b"])


def save_run(folder, name="first", metrics=None):
    folder.save_classifier(FakeClassifier(name))
    evaluations = {"validation": make_evaluation(), "test": None}
    metrics = metrics or {"name": name}
    folder.save_results(CONFIG, metrics, HISTORY, evaluations, 1, None)


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def finished(tmp_path):
    folder = TrainingWorkdir(tmp_path / "run")
    folder.prepare(overwrite=False)
    save_run(folder)
    return folder


def test_prepare_makes_the_folder_with_its_parents(tmp_path):
    TrainingWorkdir(tmp_path / "a" / "b").prepare(overwrite=False)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_prepare_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    TrainingWorkdir(str(tmp_path)).prepare(overwrite=False)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_finished_run_is_refused_and_left_untouched(finished):
    before = contents(finished.path)
    with pytest.raises(InputError, match=r"already holds a finished run.*--overwrite"):
        finished.prepare(overwrite=False)
    finished.prepare(overwrite=True)
    assert contents(finished.path) == before


def test_an_unfinished_run_is_not_refused(tmp_path):
    folder = TrainingWorkdir(tmp_path)
    folder.prepare(overwrite=False)
    folder.save_classifier(FakeClassifier("first"))
    folder.prepare(overwrite=False)
    save_run(folder, "second")
    assert not folder.staging.exists()


@pytest.mark.parametrize("name", ["plots", "history.csv", "preset", "model.keras"])
def test_files_that_are_not_a_runs_are_not_replaced_unasked(tmp_path, name):
    mine = tmp_path / name
    if "." in name:
        mine.write_text("mine")
    else:
        mine.mkdir()
    with pytest.raises(InputError, match=f"holds {name}, which the run would replace"):
        TrainingWorkdir(tmp_path).prepare(overwrite=False)
    assert mine.exists()
    TrainingWorkdir(tmp_path).prepare(overwrite=True)


def test_a_folder_that_cannot_be_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="cannot be written to"):
            TrainingWorkdir(path).prepare(overwrite=False)


def test_the_files_of_a_run(finished):
    assert set(contents(finished.path)) == {
        "model.keras",
        "preset/first",
        "config.cfg",
        "data.cfg",
        "history.csv",
        "metrics.json",
        "plots/learning_curves.png",
        "plots/confusion_matrix.png",
        "plots/reliability.png",
    }


def test_settings_metrics_and_history_read_back_exactly(tmp_path):
    metrics = {"test": {"accuracy": 1 / 3}, "run": {"seed": 0}}
    save_run(TrainingWorkdir(tmp_path), metrics=metrics)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (tmp_path / "config.cfg").read_text() == CONFIG.to_flagfile()
    with open(tmp_path / "history.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(HISTORY)
    columns = list(zip(*rows, strict=True))
    for column, values in zip(columns, HISTORY.values(), strict=True):
        assert [float(value) for value in column] == values


def test_plots_show_the_test_and_without_one_the_validation(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        plots, "plot_confusion_matrix", lambda matrix, *_: drawn.append(matrix)
    )
    validation, test = make_evaluation(), make_evaluation()
    test.metrics["confusion_matrix"] = [[7, 0], [0, 7]]
    for evaluations in (
        {"validation": validation, "test": None},
        {"validation": validation, "test": test},
    ):
        folder = TrainingWorkdir(tmp_path)
        folder.save_classifier(FakeClassifier("any"))
        folder.save_results(CONFIG, {}, HISTORY, evaluations, 1, None)
    assert drawn == [[[1, 0], [1, 0]], [[7, 0], [0, 7]]]


def test_a_second_run_replaces_all_of_the_first(finished):
    (finished.path / "plots" / "stale.png").write_text("")
    save_run(finished, "second")
    files = contents(finished.path)
    assert files["model.keras"] == files["preset/second"] == b"second"
    assert json.loads(files["metrics.json"]) == {"name": "second"}
    assert len(files) == 9  # as a first run leaves


def test_until_all_is_written_the_older_run_stays(finished, monkeypatch):
    def fail(*_):
        raise RuntimeError("no ink")

    before = contents(finished.path)
    monkeypatch.setattr(plots, "plot_reliability", fail)
    with pytest.raises(RuntimeError):
        save_run(finished, "second")
    after = contents(finished.path)
    assert {name: after[name] for name in before} == before
    assert after["unfinished/model.keras"] == b"second"  # nothing made is lost


def test_metrics_stand_only_beside_a_whole_run(finished, monkeypatch):
    replace = os.replace
    moved = []

    def stop_at_plots(source, target):
        if target.parent != finished.path:  # Pictures appear when they are whole.
            return replace(source, target)
        assert not (finished.path / "metrics.json").exists()
        if target.name == "plots":
            raise KeyboardInterrupt
        moved.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop_at_plots)
    with pytest.raises(KeyboardInterrupt):
        save_run(finished, "second")
    assert "model.keras" in moved
    assert not (finished.path / "metrics.json").exists()


def test_a_full_disk_is_an_input_error_and_costs_no_older_run(finished):
    class Failing(FakeClassifier):
        def save(self, path):
            path.write_text("half")
            raise OSError("disk full")

    before = contents(finished.path)
    with pytest.raises(InputError, match=r"disk full.*Make room"):
        finished.save_classifier(Failing("second"))
    after = contents(finished.path)
    assert {name: after[name] for name in before} == before


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with (
        TrainingWorkdir(tmp_path).in_use(overwrite=False),
        pytest.raises(InputError, match="Another process works in"),
        TrainingWorkdir(tmp_path).in_use(overwrite=True),
    ):
        pass
    with TrainingWorkdir(tmp_path).in_use(overwrite=False):
        pass  # The first has let go.


def test_overwrite_drops_checkpoints(tmp_path):
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    with TrainingWorkdir(tmp_path).in_use(overwrite=False) as folder:
        assert folder.checkpoints.is_dir()
    with TrainingWorkdir(tmp_path).in_use(overwrite=True) as folder:
        assert not folder.checkpoints.exists()

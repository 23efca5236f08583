import csv
import dataclasses
import json

import pytest

from sentiment.config import (
    BackboneConfig,
    CorpusConfig,
    DataConfig,
    ModelConfig,
    PretrainingConfig,
    PretrainRunConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.runs.files import stage_folders
from sentiment.training import two_stage as module
from sentiment.training.two_stage import train_in_two_stages

SIZES = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "vocabulary_size": 300,
    "max_positions": 32,
}


@pytest.fixture
def configs(tmp_path, write_reviews):
    path = write_reviews(tmp_path / "reviews.csv", 60, seed=0)
    with open(path, newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    (tmp_path / "text.txt").write_text("\n".join(texts))
    speed = SpeedConfig(cache_dir="")
    workdir = tmp_path / "run"
    preset = str(stage_folders(workdir)["language_model"] / "preset")
    return (
        PretrainRunConfig(
            CorpusConfig(text_files=(str(tmp_path / "text.txt"),)),
            BackboneConfig(**SIZES, sequence_length=32),
            PretrainingConfig(batch_size=4, epochs=2, learning_rate=0.01),
            speed,
        ),
        RunConfig(
            DataConfig(train_file=path),
            ModelConfig(preset=preset, sequence_length=32),
            TrainingConfig(batch_size=4, epochs=1),
            speed,
        ),
        workdir,
    )


def test_second_stage_starts_from_the_first_and_both_are_reported(configs, monkeypatch):
    received = []
    train = module.train_and_evaluate

    def watching(config, *arguments):
        received.append(config.model.preset)
        return train(config, *arguments)

    monkeypatch.setattr(module, "train_and_evaluate", watching)
    metrics = train_in_two_stages(*configs)
    workdir = configs[2]
    assert received == [str(workdir / "language_model" / "preset")]
    assert metrics == json.loads((workdir / "metrics.json").read_text())
    assert metrics["language_model"]["validation"]["perplexity"] > 1
    assert 0 <= metrics["classifier"]["validation"]["accuracy"] <= 1


def test_finished_stages_are_not_run_again(configs, monkeypatch, logged):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_and_evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_in_two_stages(*configs)

    def never(*_):
        raise AssertionError("run again")

    monkeypatch.setattr(module, "pretrain", never)
    first = train_in_two_stages(*configs)
    monkeypatch.setattr(module, "train_and_evaluate", never)
    assert train_in_two_stages(*configs) == first
    assert logged.text.count("Finished already") == 3
    with pytest.raises(AssertionError, match="run again"):
        train_in_two_stages(*configs, overwrite=True)


def test_other_settings_of_a_finished_stage_are_refused(configs):
    pretrain_config, train_config, workdir = configs
    first = train_in_two_stages(*configs)
    # A stage that is older than some setting had its default.
    config_file = workdir / "language_model" / "config.cfg"
    lines = config_file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("--embeddings_from")]
    assert len(kept) == len(lines) - 1
    config_file.write_text("\n".join(kept))
    assert train_in_two_stages(*configs) == first
    training = dataclasses.replace(pretrain_config.training, epochs=3)
    changed = dataclasses.replace(pretrain_config, training=training)
    with pytest.raises(InputError, match=r"other settings.*\n  --epochs=3"):
        train_in_two_stages(changed, train_config, workdir)


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        ("data", {"train_file": "absent.csv"}, "absent.csv"),
        ("model", {"lowercase": True}, "same --lowercase"),
        ("model", {"preset": "p", "keep_layers": 9}, "more than the language model's"),
        ("unlabelled", {"teacher": "no/model", "teacher_weight": 0.5}, "no/model"),
        (
            "unlabelled",
            {"teacher": "imdb_mini_sentiment", "teacher_weight": 0.5},
            "teacher knows the classes negative, positive",
        ),
        (
            "model",
            {"sequence_length": 999, "max_positions": 999},
            "beyond the language",
        ),
        (
            "unlabelled",
            {"teacher": "nb_svm", "unlabelled_file": "absent.txt"},
            "absent.txt",
        ),
        (
            "unlabelled",
            {"teacher": "columns", "unlabelled_file": "taught.csv"},
            "taught.csv has probabilities of the classes yes, no",
        ),
    ],
)
def test_a_second_stage_that_cannot_be_is_refused_before_the_first(
    configs, monkeypatch, tmp_path, group, changes, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taught.csv").write_text("text,probability_yes,probability_no\nA,0,1\n")

    def never(*_):
        raise AssertionError("the first stage was run")

    monkeypatch.setattr(module, "pretrain", never)
    pretrain_config, train_config, workdir = configs
    changed = dataclasses.replace(getattr(train_config, group), **changes)
    train_config = dataclasses.replace(train_config, **{group: changed})
    with pytest.raises(InputError, match=message):
        train_in_two_stages(pretrain_config, train_config, workdir)

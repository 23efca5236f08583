import dataclasses
import os

import pytest

from sentiment.config import (
    AdversarialConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainingConfig,
    UnlabelledConfig,
)
from sentiment.errors import InputError
from tests.config.conftest import RUN


@pytest.mark.parametrize(
    "unlabelled",
    [
        UnlabelledConfig(teacher="nb_svm"),
        UnlabelledConfig(unlabelled_file="a"),
        UnlabelledConfig(mixed_texts=5),
    ],
)
def test_a_teacher_and_texts_to_label_go_together(unlabelled):
    with pytest.raises(InputError, match="--teacher goes with"):
        dataclasses.replace(RUN, unlabelled=unlabelled)


def test_a_teacher_may_label_mixed_texts_alone():
    unlabelled = UnlabelledConfig(teacher="nb_svm", mixed_texts=5)
    assert dataclasses.replace(RUN, unlabelled=unlabelled).unlabelled == unlabelled


def test_own_files_have_no_unlabelled_split():
    with pytest.raises(InputError, match="is a split of a TFDS --dataset"):
        dataclasses.replace(
            RUN, unlabelled=UnlabelledConfig("unsupervised", teacher="nb_svm")
        )


def test_layers_are_kept_of_a_preset():
    with pytest.raises(InputError, match="--keep_layers are those of a --preset"):
        RUN.replaced(keep_layers=1)


def test_adapters_need_a_preset():
    with pytest.raises(InputError, match=r"--lora_rank freezes .* give --preset"):
        RUN.replaced(lora_rank=4)


@pytest.mark.parametrize("setting", [{"lora_alpha": 2.0}, {"lora_targets": ("key",)}])
def test_settings_of_adapters_need_a_rank(setting):
    with pytest.raises(InputError, match="go with --lora_rank"):
        RUN.replaced(preset="p", **setting)


@pytest.mark.parametrize("targets", [(), ("query", "query"), ("query", "head")])
def test_adapters_are_of_layers_of_a_block(targets):
    with pytest.raises(InputError, match=r"--lora_targets must be some of query, key"):
        RUN.replaced(preset="p", lora_rank=1, lora_targets=targets)


@pytest.mark.parametrize("teacher", ["none", "nb_svm", ("runs/a", "nb_svm")])
def test_only_a_trained_teacher_has_a_weight(teacher):
    with pytest.raises(InputError, match="--teacher_weight is for a trained model"):
        RUN.replaced(teacher=teacher, teacher_weight=0.5, mixed_texts=9)


@pytest.mark.parametrize(
    "settings",
    [
        {"unlabelled_split": "unsupervised"},
        {"unlabelled_file": "a.csv", "mixed_texts": 9},
    ],
)
def test_probabilities_in_columns_are_those_of_a_file(settings):
    with pytest.raises(InputError, match="knows the texts of --unlabelled_file and no"):
        UnlabelledConfig(teacher=("columns", "nb_svm"), **settings)


def test_teachers_are_told_apart():
    teachers = UnlabelledConfig(
        teacher=("columns", "nb_svm", "runs/a"), unlabelled_file="a.csv"
    )
    assert teachers.trained_teachers == ("runs/a",)
    assert teachers.classical_teachers == ("nb_svm",)
    assert teachers.reads_probabilities
    assert UnlabelledConfig(teacher="none") == UnlabelledConfig()
    with pytest.raises(InputError, match="--teacher must be different names"):
        UnlabelledConfig(teacher=("a", "a"))


def test_replaced_settings_go_to_the_group_that_holds_them():
    settings = {"epochs": 7, "dropout": 0.25, "adversarial": "fgm", "mixed_texts": 9}
    settings |= {"teacher": "nb_svm", "seed": 5}
    changed = RUN.replaced(**settings)
    lines = {f"--{k}={v}\n" for k, v in settings.items()}
    before, after = (
        set(run.to_flagfile().splitlines(keepends=True)) for run in (RUN, changed)
    )
    assert after - before == lines
    assert len(before - after) == len(lines)


def test_replaced_settings_are_checked_together():
    # Each alone would not do.
    assert RUN.replaced(hidden_dim=9, num_heads=3).model.hidden_dim == 9
    with pytest.raises(InputError, match="multiple of --num_heads"):
        RUN.replaced(hidden_dim=9)
    with pytest.raises(TypeError, match="epocs"):
        RUN.replaced(epocs=9)


def parse_flagfile(text):
    return dict(line.removeprefix("--").split("=", 1) for line in text.splitlines())


def test_flagfile_has_one_line_for_every_setting():
    names = [
        field.name
        for group in (
            DataConfig,
            ModelConfig,
            TrainingConfig,
            SpeedConfig,
            UnlabelledConfig,
            AdversarialConfig,
        )
        for field in dataclasses.fields(group)
    ]
    lines = RUN.to_flagfile().splitlines()
    assert [line.split("=")[0] for line in lines] == [f"--{n}" for n in names] + [
        "--seed"
    ]


def test_flagfile_values_as_on_the_command_line():
    run = RunConfig(
        DataConfig(
            train_file="no such.csv",
            label_names=("bad", "so, so", 'the "best"'),
            skip_bad_rows=True,
        ),
        ModelConfig(dropout=0.1),
        TrainingConfig(learning_rate=1e-5, packing=False, class_weight=("1", "2.5")),
        seed=7,
    )
    values = parse_flagfile(run.to_flagfile())
    assert values["train_file"] == "no such.csv"
    assert values["label_names"] == 'bad,"so, so","the ""best"""'
    assert values["skip_bad_rows"] == "true"
    assert values["packing"] == "false"
    assert float(values["learning_rate"]) == 1e-5
    assert values["class_weight"] == "1,2.5"
    assert values["dataset"] == ""
    assert values["seed"] == "7"


def test_numbers_in_the_flagfile_are_exact():
    rate = 0.1 + 0.2
    run = dataclasses.replace(RUN, training=TrainingConfig(learning_rate=rate))
    assert float(parse_flagfile(run.to_flagfile())["learning_rate"]) == rate


def test_paths_in_the_flagfile_work_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    (tmp_path / "gpt2_base_en").touch()
    run = RunConfig(
        DataConfig(train_file="a.csv", test_file="missing.csv", text_column="a.csv"),
        ModelConfig(preset="gpt2_base_fr"),
        TrainingConfig(),
    )
    values = parse_flagfile(run.to_flagfile())
    assert values["train_file"] == os.path.join(os.getcwd(), "a.csv")
    assert values["test_file"] == "missing.csv"
    assert values["text_column"] == "a.csv"  # no path, but there is such a file
    assert values["preset"] == "gpt2_base_fr"  # a handle

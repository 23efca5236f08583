import dataclasses
import math
import os

import pytest

from sentiment import config as config_module
from sentiment.config import (
    POOLING_NAMES,
    AdversarialConfig,
    BackboneConfig,
    BaselineCommand,
    BaselineConfig,
    BaselineRunConfig,
    BundleCommand,
    CheckedConfig,
    CompareCommand,
    CorpusConfig,
    DataConfig,
    DoctorCommand,
    EvaluateCommand,
    ModelConfig,
    OptimizationConfig,
    PredictCommand,
    PretrainCommand,
    PretrainingConfig,
    PretrainRunConfig,
    RunConfig,
    SpeedConfig,
    TrainCommand,
    TrainingConfig,
    TuneCommand,
    TwoStageCommand,
    UnlabelledConfig,
)
from sentiment.errors import InputError
from sentiment.models.pooling import POOLINGS

DATA = DataConfig(train_file="a.csv")
RUN = RunConfig(DATA, ModelConfig(), TrainingConfig())
CORPUS = CorpusConfig(text_files=("a.txt",))
PRETRAIN = PretrainRunConfig(CORPUS, BackboneConfig(num_heads=1), PretrainingConfig())
BASELINE = BaselineRunConfig(DATA, BaselineConfig())
# The least that each config needs.
VALID = [
    DATA,
    ModelConfig(num_heads=1),  # which any width is a multiple of
    TrainingConfig(),
    SpeedConfig(),
    RUN,
    TrainCommand(RUN, workdir="w"),
    TuneCommand(RUN, workdir="w"),
    EvaluateCommand(DATA, model="m"),
    PredictCommand(model="m", text=("a",)),
    CORPUS,
    BackboneConfig(num_heads=1),
    OptimizationConfig(),
    PretrainingConfig(),
    PRETRAIN,
    PretrainCommand(PRETRAIN, workdir="w"),
    TwoStageCommand(PRETRAIN, RUN),
    BaselineConfig(),
    BASELINE,
    BaselineCommand(BASELINE, workdir="w"),
    CompareCommand(("a", "b")),
    UnlabelledConfig(),
    AdversarialConfig(),
    DoctorCommand(),
    BundleCommand("p", "n"),
]
FIELDS = [
    pytest.param(valid, field, id=f"{type(valid).__name__}.{field.name}")
    for valid in VALID
    for field in dataclasses.fields(valid)
    if field.metadata
]
# sequence_length may be 0 or 3 and more; it has tests of its own.
LIMITED = [p for p in FIELDS if p.values[1].metadata["limits"]]
CHOSEN = [p for p in FIELDS if p.values[1].metadata["choices"]]


def neighbours(field, limit):
    """The values next to a limit, below and above it."""
    if field.type is int:
        return limit - 1, limit + 1
    return math.nextafter(limit, -math.inf), math.nextafter(limit, math.inf)


def test_every_config_is_tested_here():
    classes = {
        value
        for value in vars(config_module).values()
        if isinstance(value, type) and issubclass(value, CheckedConfig)
    }
    assert classes == {CheckedConfig, *map(type, VALID)}


@pytest.mark.parametrize(("valid", "field"), LIMITED)
def test_each_limit_divides_what_is_accepted_from_what_is_not(valid, field):
    for sign, limit in field.metadata["limits"].items():
        below, above = neighbours(field, limit)
        inside, outside = {
            ">=": ([limit, above], below),
            ">": ([above], limit),
            "<=": ([limit, below], above),
            "<": ([below], limit),
        }[sign]
        if field.name == "sequence_length":
            inside = [0, 3]
        for value in inside:
            changed = dataclasses.replace(valid, **{field.name: value})
            assert getattr(changed, field.name) == value
        with pytest.raises(InputError, match=f"--{field.name} must be .*{limit}"):
            dataclasses.replace(valid, **{field.name: outside})


@pytest.mark.parametrize(("valid", "field"), LIMITED)
def test_not_a_number_is_outside_every_limit(valid, field):
    with pytest.raises(InputError, match=f"--{field.name} must be .* Received: nan"):
        dataclasses.replace(valid, **{field.name: math.nan})


@pytest.mark.parametrize(("valid", "field"), CHOSEN)
def test_each_choice_is_accepted_and_nothing_else(valid, field):
    choices = field.metadata["choices"]
    for choice in choices:
        changed = dataclasses.replace(valid, **{field.name: choice})
        assert getattr(changed, field.name) == choice
    for other in ("", f"{choices[0]} ", choices[0].upper()):
        with pytest.raises(InputError, match=f"--{field.name} must be one of") as error:
            dataclasses.replace(valid, **{field.name: other})
        assert all(choice in str(error.value) for choice in choices)


def test_limits_that_matter_are_there():
    """By hand, so that a limit cannot vanish together with its test."""
    limits = {
        param.values[1].name: param.values[1].metadata["limits"] for param in LIMITED
    }
    assert limits["validation_fraction"] == {">": 0, "<": 1}
    assert limits["dropout"] == limits["label_smoothing"] == {">=": 0, "<": 1}
    assert limits["layerwise_lr_decay"] == {">": 0, "<=": 1}
    assert limits["warmup_ratio"] == {">=": 0, "<=": 1}
    assert limits["learning_rate"] == {">": 0}
    assert limits["vocabulary_size"] == {">=": 257}
    assert limits["seed"] == {">=": 0, "<=": 2**32 - 1}
    batch_size = {f.name: f for f in dataclasses.fields(TrainingConfig)}["batch_size"]
    assert batch_size.metadata["limits"] == {">=": 1}
    for name in ("epochs", "num_layers", "gradient_accumulation_steps"):
        assert limits[name] == {">=": 1}
    assert limits["ema_momentum"] == {">=": 0, "<": 1}
    for name in ("adversarial_epsilon", "adversarial_weight", "focal_gamma"):
        assert limits[name] == {">=": 0}
    assert {param.values[1].name for param in CHOSEN} == {
        "adversarial",
        "architecture",
        "dtype",
        "method",
        "monitor",
        "optimizer",
        "pooling",
        "split",
        "teacher",
        "truncation",
    }


@pytest.mark.parametrize(("valid", "field"), FIELDS)
def test_every_setting_has_a_help_text(valid, field):
    assert len(field.metadata["help"]) > 10


def test_pooling_names_are_those_of_the_layers():
    assert tuple(POOLINGS) == POOLING_NAMES


# --- Settings that must fit each other


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "train_file": "a.csv"},
        {"dataset": "imdb_reviews", "test_file": "a.csv"},
    ],
)
def test_data_is_a_data_set_or_own_files(settings):
    with pytest.raises(InputError, match="either --dataset or own files"):
        DataConfig(**settings)


def test_test_data_alone_is_enough_to_evaluate():
    assert DataConfig(test_file="a.csv").train_file == ""


@pytest.mark.parametrize("length", [1, 2])
def test_a_sequence_has_room_for_a_token(length):
    with pytest.raises(InputError, match=f"at least 3 .*Received: {length}"):
        ModelConfig(sequence_length=length)


def test_a_sequence_is_within_the_positions():
    assert ModelConfig(sequence_length=64, max_positions=64).sequence_length == 64
    with pytest.raises(InputError, match="beyond the 64 positions"):
        ModelConfig(sequence_length=65, max_positions=64)


def test_heads_divide_the_width():
    with pytest.raises(InputError, match="hidden_dim=10, num_heads=4"):
        ModelConfig(hidden_dim=10, num_heads=4)


def test_sizes_do_not_matter_with_a_preset():
    ModelConfig(preset="gpt2_base_en", hidden_dim=10, num_heads=4)
    ModelConfig(preset="gpt2_medium_en", sequence_length=1024, max_positions=512)


@pytest.mark.parametrize("weights", [("0.5", "2"), ("1e-3",)])
def test_class_weights_are_numbers(weights):
    config = TrainingConfig(class_weight=weights)
    assert config.class_weight_values() == tuple(map(float, weights))


@pytest.mark.parametrize("word", ["none", "balanced"])
def test_class_weight_may_be_a_word(word):
    assert TrainingConfig(class_weight=(word,)).class_weight == (word,)


@pytest.mark.parametrize(
    "weights", [(), ("",), ("1", "0"), ("-1",), ("nan",), ("inf",), ("1", "balanced")]
)
def test_other_class_weights_are_an_input_error(weights):
    with pytest.raises(InputError, match="numbers above 0"):
        TrainingConfig(class_weight=weights)


def test_text_files_have_no_splits():
    with pytest.raises(InputError, match="--splits are of --dataset"):
        CorpusConfig(text_files=("a.txt",), splits=("train", "unsupervised"))


def test_a_run_is_not_compared_with_itself():
    with pytest.raises(InputError, match="two different runs"):
        CompareCommand(("a", "./a/"))


def test_unlabelled_texts_come_from_one_place():
    with pytest.raises(InputError, match="either --unlabelled_split or"):
        UnlabelledConfig("nb_svm", "unsupervised", "a.txt")


@pytest.mark.parametrize(
    "unlabelled",
    [
        UnlabelledConfig("nb_svm"),
        UnlabelledConfig(unlabelled_file="a"),
        UnlabelledConfig(mixed_texts=5),
    ],
)
def test_a_teacher_and_texts_to_label_go_together(unlabelled):
    with pytest.raises(InputError, match="--teacher goes with"):
        dataclasses.replace(RUN, unlabelled=unlabelled)


def test_a_teacher_may_label_mixed_texts_alone():
    unlabelled = UnlabelledConfig("nb_svm", mixed_texts=5)
    assert dataclasses.replace(RUN, unlabelled=unlabelled).unlabelled == unlabelled


def test_own_files_have_no_unlabelled_split():
    with pytest.raises(InputError, match="is a split of a TFDS --dataset"):
        dataclasses.replace(RUN, unlabelled=UnlabelledConfig("nb_svm", "unsupervised"))


@pytest.mark.parametrize("settings", [("", "n"), ("p", ""), ("p", "a/b"), ("p", "..")])
def test_what_is_bundled_has_a_plain_name(settings):
    with pytest.raises(InputError, match="--name=NAME"):
        BundleCommand(*settings)


# --- Flagfile


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


# --- Commands


@pytest.mark.parametrize("command", [EvaluateCommand, PredictCommand])
def test_a_model_must_be_named(command):
    arguments = {"data": DATA} if command is EvaluateCommand else {"text": ("a",)}
    assert command(**arguments).model == "imdb_mini_sentiment"
    with pytest.raises(InputError, match="--model="):
        command(**arguments, model="")


def test_a_workdir_must_be_named():
    with pytest.raises(InputError, match="--workdir="):
        TrainCommand(RUN)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"text": ("a",), "input": "a.csv", "output": "b.csv"},
        {"input": "a.csv"},
        {"text": ("a",), "output": "b.csv"},
    ],
)
def test_predict_reads_texts_or_a_file(settings):
    with pytest.raises(InputError, match="--input"):
        PredictCommand(model="m", **settings)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "clip_norm"])
def test_infinity_is_outside_every_limit(name):
    with pytest.raises(InputError, match=f"--{name} must be .*finite. Received: inf"):
        TrainingConfig(**{name: math.inf})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "train_file": "a.csv"},
        {"dataset": "imdb_reviews", "validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "test_file": "a.csv"},
    ],
)
def test_data_is_either_a_data_set_or_own_files(settings):
    with pytest.raises(InputError, match="Give either --dataset or own files"):
        DataConfig(**settings)


@pytest.mark.parametrize("name", ["text_column", "label_column", "label_names"])
def test_the_bundled_reviews_take_no_columns_and_names(name):
    value = ("a", "b") if name == "label_names" else "x"
    with pytest.raises(InputError, match=f"Leave out --{name}"):
        DataConfig(dataset="quickstart", **{name: value})


@pytest.mark.parametrize("names", [("a", ""), ("a", " "), ("a", "a"), ("a", "a ")])
def test_label_names_are_different_and_not_empty(names):
    with pytest.raises(InputError, match="--label_names must be different names"):
        DataConfig(train_file="a.csv", label_names=names)


def test_text_and_label_are_two_columns():
    with pytest.raises(InputError, match=r"must differ\. Received: 'x'"):
        DataConfig(train_file="a.csv", text_column="x", label_column="x")

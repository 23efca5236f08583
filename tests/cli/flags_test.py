import dataclasses

import pytest
from hypothesis import given, reject, strategies
from hypothesis import settings as settings_of_hypothesis

from sentiment.cli import main as cli
from sentiment.cli.flags import HelpAsked
from sentiment.config import (
    TEACHERS,
    BackboneConfig,
    BaselineCommand,
    BaselineConfig,
    BaselineRunConfig,
    BehaveCommand,
    BundleCommand,
    CompareCommand,
    CompressCommand,
    CompressRunConfig,
    CorpusConfig,
    DataConfig,
    DoctorCommand,
    EvaluateCommand,
    ModelConfig,
    PredictCommand,
    PretrainCommand,
    PretrainingConfig,
    PretrainRunConfig,
    RunConfig,
    SpeedConfig,
    TrainCommand,
    TrainingConfig,
    TuneCommand,
    UnlabelledConfig,
)
from sentiment.errors import InputError

# Settings that the rest of a command line needs, by command.
REQUIRED = {
    "train": ("--train_file=a.csv", "--workdir=w"),
    "tune": ("--train_file=a.csv", "--workdir=w"),
    "evaluate": ("--test_file=a.csv", "--model=m"),
    "behave": ("--model=m",),
    "predict": ("--model=m", "--input=a.csv", "--output=b.csv"),
    "pretrain": ("--text_files=a.csv", "--workdir=w"),
    "baseline": ("--train_file=a.csv", "--workdir=w"),
    "compress": ("--train_file=a.csv", "--model=m", "--workdir=w"),
    "compare": ("a", "b"),
    "bundle": ("--preset=p", "--name=n"),
    "doctor": (),
}
# Where a command holds a config class: from the command to its settings.
PLACES = [
    ("train", DataConfig, ("run", "data")),
    ("train", ModelConfig, ("run", "model")),
    ("train", TrainingConfig, ("run", "training")),
    ("train", RunConfig, ("run",)),
    ("train", TrainCommand, ()),
    ("tune", TuneCommand, ()),
    ("evaluate", DataConfig, ("data",)),
    ("evaluate", EvaluateCommand, ()),
    ("behave", BehaveCommand, ()),
    ("predict", PredictCommand, ()),
    ("pretrain", CorpusConfig, ("run", "corpus")),
    ("pretrain", BackboneConfig, ("run", "backbone")),
    ("pretrain", PretrainingConfig, ("run", "training")),
    ("pretrain", PretrainRunConfig, ("run",)),
    ("pretrain", PretrainCommand, ()),
    ("baseline", DataConfig, ("run", "data")),
    ("baseline", BaselineConfig, ("run", "baseline")),
    ("baseline", BaselineRunConfig, ("run",)),
    ("baseline", BaselineCommand, ()),
    ("compress", DataConfig, ("run", "data")),
    ("compress", CompressRunConfig, ("run",)),
    ("compress", CompressCommand, ()),
    ("compare", CompareCommand, ()),
]


def settings(config_class):
    fields = [f for f in dataclasses.fields(config_class) if f.metadata]
    return [f for f in fields if not f.metadata["positional"]]


FIELDS = [
    pytest.param(command, path, field, id=f"{command}-{field.name}")
    for command, config_class, path in PLACES
    for field in settings(config_class)
]
LIMITS = [
    pytest.param(command, field, sign, limit, id=f"{command}-{field.name}{sign}")
    for command, config_class, _ in PLACES
    for field in settings(config_class)
    for sign, limit in field.metadata["limits"].items()
]
CHOICES = [
    pytest.param(command, field, id=f"{command}-{field.name}")
    for command, config_class, _ in PLACES
    for field in settings(config_class)
    if field.metadata["choices"]
]


def parse(command, *arguments):
    return cli.parse(command, list(map(str, arguments)))


def train(*arguments):
    return parse("train", *REQUIRED["train"], *arguments).run


def rejected(*arguments, command="train"):
    with pytest.raises(InputError) as error:
        parse(command, *REQUIRED[command], *arguments)
    return str(error.value)


# Flags that some settings need beside them.
BESIDE = {
    "keep_head": ("--preset=p",),
    "keep_layers": ("--preset=p",),
    "lora_rank": ("--preset=p",),
    "lora_alpha": ("--preset=p", "--lora_rank=2"),
    "lora_targets": ("--preset=p", "--lora_rank=2"),
}


def other_value(field):
    """`(argument, value)`, not the default and within the limits."""
    if field.name == "lora_targets":
        return "output,key", ("output", "key")
    if field.name == "polarity":
        return "negative,positive", ("negative", "positive")
    if field.type is bool:
        return str(not field.default).lower(), not field.default
    if field.type is int:
        value = field.default * 2 or 8
        return str(value), value
    if field.type is float:
        value = field.default / 2 or 0.25
        return str(value), value
    if field.metadata["choices"]:
        value = next(c for c in field.metadata["choices"] if c != field.default)
        return value, value
    if field.name in ("encoding", "delimiter"):
        value = {"encoding": "cp1252", "delimiter": "#"}[field.name]
        return value, value
    if field.name == "space":
        return "epochs=1:9", ("epochs=1:9",)
    if field.type == tuple[str, ...]:
        if field.metadata["repeated"]:
            return "one, two", ("one, two",)
        return "0.5,2", ("0.5", "2")
    value = "some/other value.png" if field.name == "output" else "some/other value.csv"
    return value, value


def replaced(config, path, name, value):
    if path:
        value = replaced(getattr(config, path[0]), path[1:], name, value)
        name = path[0]
    return dataclasses.replace(config, **{name: value})


# --- From flags to fields


@pytest.mark.parametrize(("command", "path", "field"), FIELDS)
def test_flag_reaches_its_field_and_no_other(command, path, field):
    required, without = (*REQUIRED[command], *BESIDE.get(field.name, ())), {}
    if field.name == "dataset":  # instead of files
        required = required[1:]
        without = {"train_file": "", "test_file": "", "text_files": ()}
    if field.name == "splits":  # which files have none of
        required, without = ("--dataset=d", "--workdir=w"), {"dataset": "d"}
    if field.name == "text":  # instead of an input
        required, without = required[:1], {"input": "", "output": ""}
    argument, value = other_value(field)
    parsed = parse(command, *required, f"--{field.name}={argument}")
    holder = parsed
    for step in path:
        holder = getattr(holder, step)
    assert getattr(holder, field.name) == value
    if without:
        without = {k: v for k, v in without.items() if hasattr(holder, k)}
        assert all(getattr(holder, k) == v for k, v in without.items())
    else:
        default = parse(command, *required)
        assert parsed == replaced(default, path, field.name, value)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_flags_of_unlabelled_texts(teacher):
    run = train(f"--teacher={teacher}", "--unlabelled_file=a.txt")
    assert run.unlabelled == UnlabelledConfig(teacher=teacher, unlabelled_file="a.txt")
    arguments = ("--dataset=imdb_reviews", "--unlabelled_split=unsupervised")
    run = parse("train", *arguments, f"--teacher={teacher}", "--workdir=w").run
    assert run.unlabelled == UnlabelledConfig("unsupervised", teacher=teacher)
    run = train(f"--teacher={teacher}", "--mixed_texts=7")
    assert run.unlabelled == UnlabelledConfig(teacher=teacher, mixed_texts=7)


def test_flags_of_bundling():
    assert parse("bundle", *REQUIRED["bundle"]) == BundleCommand("p", "n")


def test_without_flags_every_field_has_its_default():
    data = DataConfig(train_file="a.csv")
    run = RunConfig(data, ModelConfig(), TrainingConfig())
    assert parse("train", *REQUIRED["train"]) == TrainCommand(run, "w")


# --- Spelling


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--packing", True),
        ("--nopacking", False),
        ("--packing=true", True),
        ("--packing=false", False),
        ("--packing=1", True),
        ("--packing=0", False),
    ],
)
def test_bool_spellings(argument, value):
    opposite = f"--packing={str(not value).lower()}"
    assert train(opposite, argument).training.packing is value


def test_bool_with_its_value_apart_is_an_error():
    assert "false" in rejected("--packing", "false")


def test_value_may_stand_apart():
    assert train("--epochs", "7").training.epochs == 7


def test_list_keeps_order_spaces_and_quoted_commas():
    names = train('--label_names=very bad,"so, so",good').data.label_names
    assert names == ("very bad", "so, so", "good")


def test_empty_list_is_empty():
    assert train("--label_names=a,b", "--label_names=").data.label_names == ()


def test_later_flag_wins():
    assert train("--epochs=7", "--epochs=4").training.epochs == 4
    names = train("--label_names=a,b", "--label_names=c,d").data.label_names
    assert names == ("c", "d")


def test_texts_add_up_and_are_taken_as_they_are():
    texts = ["a, b", "--no, really", "", " [x] "]
    command = parse("predict", "--model=m", *(f"--text={text}" for text in texts))
    assert command.text == tuple(texts)


def test_an_empty_text_is_a_text():
    assert parse("predict", "--model=m", "--text=").text == ("",)


# --- Flagfiles


def test_flagfile_with_comments_and_blank_lines(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text("# first\n\n--epochs=7\n// next\n--lowercase\n# --seed=9\n")
    run = train(f"--flagfile={path}")
    assert (run.training.epochs, run.model.lowercase) == (7, True)


def test_later_wins_between_flagfile_and_flags(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text("--epochs=7\n--preset=gpt2_base_en\n")
    flagfile = f"--flagfile={path}"
    assert train(flagfile, "--epochs=4").training.epochs == 4
    assert train("--epochs=4", flagfile).training.epochs == 7
    assert train(flagfile, "--preset=").model.preset == ""


def test_later_flagfile_wins(tmp_path):
    (tmp_path / "a.cfg").write_text("--epochs=7\n--seed=7\n")
    (tmp_path / "b.cfg").write_text("--epochs=4\n")
    run = train(f"--flagfile={tmp_path}/a.cfg", f"--flagfile={tmp_path}/b.cfg")
    assert (run.training.epochs, run.seed) == (4, 7)


@pytest.mark.parametrize("form", [["--flagfile=X"], ["--flagfile", "X"]])
def test_a_flagfile_that_comes_along_is_found_in_either_form(
    tmp_path, monkeypatch, form
):
    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("X", "configs/quickstart.cfg") for word in form]
    assert parse("train", *arguments, "--workdir=w").run.data.dataset == "quickstart"


def test_a_value_that_looks_like_a_flagfile_is_a_value():
    command = parse("predict", "--text", "--flagfile=x", "--text=--flagfile=y")
    assert command.text == ("--flagfile=x", "--flagfile=y")


def test_flags_may_not_be_skipped():
    assert "--undefok would hide" in rejected("--undefok=epocs", "--epocs=3")


@pytest.mark.parametrize("argument", ["--nolowercase=true", "--lowercase=perhaps"])
def test_a_switch_takes_no_other_value(argument):
    assert "lowercase" in rejected(argument)


@pytest.mark.parametrize("mistake", ["--nope", "--epochs=x", "--flagfile=/none"])
@pytest.mark.parametrize("asking", ["--help", "-h"])
def test_help_comes_before_mistakes(mistake, asking):
    with pytest.raises(HelpAsked):
        cli.parse("train", [mistake, asking])
    assert parse("predict", "--text", asking).text == (asking,)


def test_missing_flagfile_is_named():
    assert "/none/a.cfg" in rejected("--flagfile=/none/a.cfg")


def test_unknown_flag_in_a_flagfile_is_named(tmp_path):
    (tmp_path / "a.cfg").write_text("--epocs=3\n")
    assert "epocs" in rejected(f"--flagfile={tmp_path}/a.cfg")


@pytest.mark.parametrize("source", [{"dataset": "imdb_reviews"}, {"train_file": "a b"}])
def test_saved_config_gives_the_same_run(tmp_path, source):
    values = {}
    for config_class in (DataConfig, ModelConfig, TrainingConfig, SpeedConfig):
        for field in settings(config_class):
            values[field.name] = other_value(field)[1]
    values |= {"label_column": "another column", "hash_dropout": True}
    values |= {
        "dataset": "",
        "validation_file": "",
        "train_file": "",
        "test_file": "",
        "embeddings_from": "",  # there is a preset
        **source,
    }
    values |= {"label_names": ("very bad", "so, so", '"good"', "中文")}
    values |= {"label_map": () if source.get("dataset") else ("1-2:so, so", "x:中文")}
    groups = [
        config_class(**{f.name: values[f.name] for f in settings(config_class)})
        for config_class in (DataConfig, ModelConfig, TrainingConfig, SpeedConfig)
    ]
    run = RunConfig(*groups, seed=5)
    path = tmp_path / "config.cfg"
    path.write_text(run.to_flagfile(), encoding="utf-8")
    assert parse("train", f"--flagfile={path}", "--workdir=w").run == run


# Blanks of all kinds, quotes, commas, what begins a comment or a flag.
_ODD = strategies.text(
    strategies.one_of(
        strategies.sampled_from(" \t\"',=#-/\\|:;\u00a0\u3000\ufeffé好😀"),
        strategies.characters(exclude_categories=("Cs",)),
    ),
    max_size=12,
)


@given(data=strategies.data())
@settings_of_hypothesis(max_examples=200, deadline=None)
def test_any_setting_comes_back_from_a_flagfile(data, tmp_path_factory):
    """What cannot be written down is refused at once."""
    groups = []
    for config_class in (DataConfig, ModelConfig, TrainingConfig, SpeedConfig):
        values = {"train_file": "a.csv"} if config_class is DataConfig else {}
        for field in settings(config_class):
            if field.name in ("dataset", "encoding", *values):
                continue
            if field.type is str and not field.metadata["choices"]:
                values[field.name] = data.draw(_ODD, field.name)
            elif field.name in ("columns", "label_names"):
                values[field.name] = tuple(
                    data.draw(strategies.lists(_ODD, max_size=3))
                )
        try:
            groups.append(config_class(**values))
        except InputError:
            reject()
    run = RunConfig(*groups, seed=data.draw(strategies.integers(0, 2**32 - 1)))
    path = tmp_path_factory.mktemp("flags") / "config.cfg"
    path.write_text(run.to_flagfile(), encoding="utf-8")
    assert parse("train", f"--flagfile={path}", "--workdir=w").run == run


@pytest.mark.parametrize("value", ["a\nb", "a\x85b", "a\u2028b", "a\0b"])
def test_a_setting_is_one_line(value):
    with pytest.raises(InputError, match="--text_column must be one line"):
        DataConfig(train_file="a.csv", text_column=value)


def test_a_setting_is_utf_8():
    with pytest.raises(InputError, match=r"--train_file is not UTF-8.*Rename it"):
        DataConfig(train_file="caf\udce9.csv")


def test_blanks_at_the_ends_of_a_name_do_not_count_and_of_a_path_are_refused():
    config = DataConfig(train_file="a.csv", text_column=" my text ")
    assert config.text_column == "my text"
    with pytest.raises(InputError, match="--train_file must not begin or end with a"):
        DataConfig(train_file="a.csv ")
    assert PredictCommand(text=(" a\n",)).text == (" a\n",)


# --- What is refused


def test_unknown_flag_suggests_the_near_one():
    message = rejected("--learning_rte=1e-3")
    assert "learning_rte" in message
    assert "Did you mean: learning_rate" in message


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("epochs", "three"),
        ("epochs", "2.5"),
        ("epochs", ""),
        ("learning_rate", "fast"),
        ("packing", "maybe"),
    ],
)
def test_value_of_the_wrong_type_is_named(flag, value):
    message = rejected(f"--{flag}={value}")
    assert flag in message
    assert value in message


@pytest.mark.parametrize(("command", "field", "sign", "limit"), LIMITS)
def test_value_out_of_range_is_named_with_the_limit(command, field, sign, limit):
    step = {">=": -1, ">": 0, "<=": 1, "<": 0}[sign]
    message = rejected(f"--{field.name}={limit + step}", command=command)
    assert f"--{field.name} must be" in message
    assert f"{sign} {limit}" in message
    assert f"Received: {field.type(limit + step)}" in message


@pytest.mark.parametrize("flag", ["learning_rate", "validation_fraction", "clip_norm"])
def test_not_a_number_is_out_of_range(flag):
    assert f"--{flag} must be" in rejected(f"--{flag}=nan")


@pytest.mark.parametrize(("command", "field"), CHOICES)
def test_value_that_is_no_choice_lists_the_choices(command, field):
    message = rejected(f"--{field.name}=other", command=command)
    assert ", ".join(field.metadata["choices"]) in message
    assert "other" in message


@pytest.mark.parametrize("weights", ["", "heavy", "1,two", "1,-1", "1,inf", "none,1"])
def test_class_weight_must_be_a_word_or_positive_numbers(weights):
    assert "none, balanced or" in rejected(f"--class_weight={weights}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hidden_dim=10", "--num_heads=3"), "multiple of --num_heads"),
        (("--sequence_length=2",), "at least 3"),
        (("--sequence_length=65", "--max_positions=64"), "beyond the 64 positions"),
        (("--dataset=imdb_reviews",), "either --dataset or own files"),
        (("--workdir=",), "--workdir=FOLDER"),
        (("--train_file=",), "either --dataset or own files"),
    ],
)
def test_flags_that_do_not_go_together(arguments, message):
    assert message in rejected(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model=m",), "either --text or --input"),
        (("--model=m", "--text=a", "--input=b.csv"), "either --text or --input"),
        (("--model=m", "--input=b.csv"), "go together"),
        (("--model=m", "--text=a", "--output=b.csv"), "go together"),
        (("--model=", "--text=a"), "--model=WORKDIR"),
    ],
)
def test_what_predict_must_be_told(arguments, message):
    with pytest.raises(InputError, match=message):
        parse("predict", *arguments)


def test_flags_of_the_doctor():
    found = parse("doctor", "--dataset=d", "--tfds_data_dir=t", "--workdir=w")
    assert found == DoctorCommand("d", "t", "w")

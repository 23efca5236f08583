import dataclasses
import math

import pytest

from sentiment import config as config_module
from sentiment.config import (
    AdversarialConfig,
    BackboneConfig,
    BaselineCommand,
    BaselineConfig,
    BaselineRunConfig,
    BehaveCommand,
    BundleCommand,
    CheckedConfig,
    CompareCommand,
    CompletionCommand,
    CompressCommand,
    CompressionConfig,
    CompressRunConfig,
    ConfigsCommand,
    CorpusConfig,
    DoctorCommand,
    EvaluateCommand,
    GatherCommand,
    GatheredSource,
    ModelConfig,
    OptimizationConfig,
    PredictCommand,
    PretrainCommand,
    PretrainingConfig,
    PretrainRunConfig,
    SpeedConfig,
    TableConfig,
    TrainCommand,
    TrainingConfig,
    TuneCommand,
    TwoStageCommand,
    UnlabelledConfig,
    UnlabelledTextsConfig,
)
from sentiment.errors import InputError
from tests.config.conftest import DATA, RUN

CORPUS = CorpusConfig(text_files=("a.txt",))
PRETRAIN = PretrainRunConfig(CORPUS, BackboneConfig(num_heads=1), PretrainingConfig())
BASELINE = BaselineRunConfig(DATA, BaselineConfig())
COMPRESS = CompressRunConfig(DATA, CompressionConfig(model="m"))
# The least that each config needs.
VALID = [
    TableConfig(),
    DATA,
    ModelConfig(preset="p"),  # whose layers may be kept
    TrainingConfig(lora_rank=1),
    SpeedConfig(),
    RUN,
    TrainCommand(RUN, workdir="w"),
    TuneCommand(RUN, workdir="w"),
    EvaluateCommand(DATA, model="m"),
    BehaveCommand(model="m"),
    PredictCommand(model="m", input="a.csv", output="b.csv"),
    GatheredSource(files=("a.csv",), labelled=False),
    GatherCommand({}, {}, sources=("a.cfg",), output="b.csv"),
    ConfigsCommand(copy="a"),
    CompletionCommand(),
    CORPUS,
    BackboneConfig(preset="p"),
    OptimizationConfig(),
    PretrainingConfig(),
    PRETRAIN,
    PretrainCommand(PRETRAIN, workdir="w"),
    TwoStageCommand(PRETRAIN, RUN),
    BaselineConfig(),
    BASELINE,
    BaselineCommand(BASELINE, workdir="w"),
    CompareCommand(("a", "b")),
    UnlabelledTextsConfig(),
    UnlabelledConfig(teacher="m"),
    CompressionConfig(model="m"),
    COMPRESS,
    CompressCommand(COMPRESS, workdir="w"),
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


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "clip_norm"])
def test_infinity_is_outside_every_limit(name):
    with pytest.raises(InputError, match=f"--{name} must be .*finite. Received: inf"):
        TrainingConfig(**{name: math.inf})


@pytest.mark.parametrize(("valid", "field"), CHOSEN)
def test_each_choice_is_accepted_and_nothing_else(valid, field):
    choices = field.metadata["choices"]
    for choice in choices:
        changed = dataclasses.replace(valid, **{field.name: choice})
        assert getattr(changed, field.name) == choice
    blank = dataclasses.replace(valid, **{field.name: f" {choices[0]} "})
    assert getattr(blank, field.name) == choices[0]
    for other in ("", f"{choices[0]}x", choices[0].upper()):
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
    assert limits["learning_rate"] == {">": 0, "<=": 100}
    assert limits["vocabulary_size"] == {">=": 257, "<=": 2**20}
    assert limits["seed"] == {">=": 0, "<=": 2**32 - 1}
    batch_size = {f.name: f for f in dataclasses.fields(TrainingConfig)}["batch_size"]
    assert batch_size.metadata["limits"] == {">=": 1, "<=": 65_536}
    for name in ("epochs", "num_layers", "gradient_accumulation_steps"):
        assert limits[name][">="] == 1
    assert limits["ema_momentum"] == {">=": 0, "<": 1}
    for name in ("adversarial_epsilon", "adversarial_weight", "focal_gamma"):
        assert limits[name][">="] == 0
    assert {param.values[1].name for param in CHOSEN} == {
        "adversarial",
        "architecture",
        "dtype",
        "method",
        "monitor",
        "objective",
        "optimizer",
        "pooling",
        "quoting",
        "shell",
        "split",
        "truncation",
        "unit",
    }


@pytest.mark.parametrize(
    ("valid", "field"), [p for p in FIELDS if p.values[1].type in (int, float)]
)
def test_every_number_has_a_lower_and_an_upper_end(valid, field):
    signs = set(field.metadata["limits"])
    assert signs & {">=", ">"}
    assert signs & {"<=", "<"}
    with pytest.raises(InputError, match=f"--{field.name} must be"):
        dataclasses.replace(valid, **{field.name: field.type("9" * 30)})


@pytest.mark.parametrize(("valid", "field"), FIELDS)
def test_every_setting_has_a_help_text(valid, field):
    assert len(field.metadata["help"]) > 10

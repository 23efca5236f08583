"""What each flag of `sentiment tune` does, and what it refuses before any work."""

import dataclasses
import re

import numpy as np
import pytest

from sentiment.cli import main as cli
from sentiment.config import Dimension, TuneCommand, tunable_types
from sentiment.errors import InputError
from sentiment.evaluation.metrics import classification_metrics
from sentiment.evaluation.trials import TrialResult
from sentiment.search import study as tuning
from sentiment.search import worker
from tests.cli.conftest import TINY
from tests.evaluation.summary_test import RUN

REQUIRED = ("--train_file=a.csv", "--workdir=w")


def parse(*arguments):
    return cli.parse("tune", [*REQUIRED, *arguments])


def refused(*arguments):
    with pytest.raises(InputError) as error:
        parse(*arguments)
    return str(error.value)


@pytest.fixture
def tuned(monkeypatch, call_script):
    """Calls the script up to the search; what is printed, and what that was given."""

    def call(*arguments):
        received = []
        scores = classification_metrics(
            [0, 1, 1, 1], np.array([[0.6, 0.4]] * 2 + [[0.4, 0.6]] * 2), ["bad", "good"]
        )
        metrics = {"validation": scores, "test": scores, "run": RUN}
        trials = [
            TrialResult(0, "complete", 0.5, {"dropout": 0.1}),
            TrialResult(1, "complete", 0.75, {"dropout": 0.2}),
            TrialResult(2, "failed", None, {"dropout": 0.3}, "The loss became nan."),
        ]
        result = tuning.StudyResult(trials, trials[1], metrics)
        monkeypatch.setattr(tuning, "tune", lambda *a: received.append(a) or result)
        return call_script("tune", *REQUIRED, *arguments), *received

    return call


def test_every_flag_of_its_own_has_a_test_that_observes_it():
    names = {f.name for f in dataclasses.fields(TuneCommand) if f.metadata}
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == names


def test_main_searches_and_prints_trials_winner_and_flagfile(tuned):
    printed, received = tuned("--trials=3", "--space=dropout=0.0:0.5")
    command = parse("--trials=3", "--space=dropout=0.0:0.5")
    assert received == (command.run, command.dimensions, 3, "w", False)
    assert printed.status == 0
    (row,) = (line for line in printed.out.splitlines() if "winner" in line)
    assert "75.00%" in row
    assert "Test: accuracy 75.00%" in printed.out
    assert "Saved in w/best" in printed.out
    assert "--flagfile=w/best.cfg" in printed.out


# --- Flags


def test_workdir__is_where_the_study_is(tuned):
    _, received = tuned("--workdir=elsewhere")
    assert received[3] == "elsewhere"


def test_overwrite__starts_anew(tuned):
    _, received = tuned("--overwrite")
    assert received[4] is True


def test_trials__is_how_many_there_are_to_be(tuned):
    _, received = tuned("--trials=7")
    assert received[2] == 7


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("dropout=0:0.5", Dimension("dropout", 0.0, 0.5)),
        (
            "learning_rate=1e-5:1e-3:log",
            Dimension("learning_rate", 1e-5, 1e-3, is_log=True),
        ),
        ("epochs=1:3", Dimension("epochs", 1, 3)),
        ("batch_size=4:64:log", Dimension("batch_size", 4, 64, is_log=True)),
        ("batch_size=8|16", Dimension("batch_size", choices=(8, 16))),
        ("clip_norm=0|1", Dimension("clip_norm", choices=(0.0, 1.0))),
        ("pooling=last|mean", Dimension("pooling", choices=("last", "mean"))),
        ("packing=true|false", Dimension("packing", choices=(True, False))),
        (
            "adversarial_normalize=false|true",
            Dimension("adversarial_normalize", choices=(False, True)),
        ),
    ],
)
def test_space__is_a_dimension_of_the_settings_kind(text, dimension):
    (found,) = parse(f"--space={text}").dimensions
    assert found == dimension
    kinds = {type(value) for value in (found.low, found.high, *found.choices)}
    wanted = {type(value) for value in (dimension.low, dimension.high)}
    assert kinds == wanted | {type(value) for value in dimension.choices}
    # What it is written as means the same.
    (again,) = parse(f"--space={found.name}={found.values}").dimensions
    assert again == found


def test_space__without_it_varies_rate_dropout_and_decay():
    found = parse("--learning_rate=0.001").dimensions
    assert [one.name for one in found] == ["dropout", "learning_rate", "weight_decay"]
    assert (found[1].low, found[1].high, found[1].is_log) == (0.0001, 0.01, True)


def test_flags_of_training_are_what_trials_have_in_common():
    arguments = [*REQUIRED, "--epochs=7", "--monitor=loss", "--seed=3"]
    run = cli.parse("train", [*arguments]).run
    assert parse(*arguments[2:]).run == run


# --- What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate=1e-3:1e-5", "its lower end first"),
        ("dropout=0.1:0.1", "its lower end first"),
        ("dropout=0:0.5:log", "its lower end first, and that above 0"),
        ("epochs=1.5:3", "epochs=LOW:HIGH.* of whole numbers. Received: epochs=1.5:3"),
        ("epochs=1:3:lin", "epochs=LOW:HIGH"),
        ("epochs=3", "epochs=LOW:HIGH"),
        ("epochs", "epochs=LOW:HIGH"),
        ("dropout=nan:0.5", "dropout=LOW:HIGH"),
        ("learning_rate=1e-5:inf", "learning_rate=LOW:HIGH"),
        ("dropout=0.1|high", r"dropout=A\|B\|C"),
        ("pooling=last:mean", r"pooling=A\|B\|C"),
        ("pooling=last", r"pooling=A\|B\|C"),
        ("packing=0:1", r"packing=true\|false"),
        ("packing=yes|no", r"packing=true\|false"),
        ("pooling=last|last", "a value more than once"),
        ("epochs=3|3", "a value more than once"),
        # Beyond what the setting may be, at either end.
        ("dropout=-0.1:0.5", "--dropout must be >= 0 and < 1. Received: -0.1"),
        ("dropout=0.5:1", "--dropout must be >= 0 and < 1. Received: 1.0"),
        ("batch_size=1:" + "9" * 30, "--batch_size must be >= 1 and <= 65536"),
        ("epochs=0:3", "--epochs must be >= 1 and <= 10000. Received: 0"),
        ("pooling=last|median", "--pooling must be one of auto, last, cls"),
        # In between, or with the other settings.
        ("hidden_dim=126:130", "--hidden_dim must be a multiple of --num_heads"),
        ("sequence_length=16|1024", "beyond the 512 positions"),
        ("teacher_weight=0.1:0.5", "--teacher_weight is for a trained model"),
        # No number or choice that a search could vary.
        ("seed=1:3", "names no setting that can be tuned. Tunable are .*dropout"),
        ("train_file=a.csv|b.csv", "names no setting that can be tuned"),
        ("label_names=a|b", "names no setting that can be tuned"),
        ("validation_fraction=0.1:0.3", "names no setting that can be tuned"),
        ("preset=a|b", "names no setting that can be tuned"),
        ("class_weight=none|balanced", "names no setting that can be tuned"),
        ("monitor=accuracy|loss", "names no setting that can be tuned"),
        ("num_devices=1:2", "names no setting that can be tuned"),
        ("cache_dir=a|b", "names no setting that can be tuned"),
        ("hash_dropout=true|false", "names no setting that can be tuned"),
        ("learning_rte=1e-5:1e-3", "names no setting that can be tuned"),
        ("", "names no setting that can be tuned"),
    ],
)
def test_a_space_that_cannot_be_searched(text, message):
    found = refused(f"--space={text}")
    assert re.search(message, found), found
    assert text in found


def test_a_setting_that_is_named_twice():
    message = refused("--space=epochs=1:3", "--space=epochs=2|4")
    assert "--space names epochs more than once" in message


def test_what_can_be_tuned_is_numbers_choices_and_booleans():
    types = tunable_types(parse().run)
    assert set(types.values()) == {bool, int, float, str}
    assert {"learning_rate", "pooling", "adversarial_epsilon", "mixed_texts"} <= set(
        types
    )


def test_bad_data_are_refused_before_there_is_a_study(
    call_script, files, tmp_path, monkeypatch
):
    def never(*_):
        raise AssertionError("training started")

    monkeypatch.setattr(worker, "train_and_validate", never)
    result = call_script(
        "tune", "--train_file=/none/a.csv", *TINY, f"--workdir={tmp_path}"
    )
    assert result.status == 2
    assert "/none/a.csv" in result.err
    assert not (tmp_path / "study.db").exists()

import csv

import pytest

from sentiment.config import MONITORS
from sentiment.evaluation.trials import (
    TrialResult,
    best_of,
    settings_text,
    trials_table,
)

TRIALS = [
    TrialResult(0, "failed", None, {"dropout": 0.1}, "The loss became nan, at once."),
    TrialResult(1, "complete", 0.5, {"dropout": 0.2}, seconds=2.5),
    TrialResult(2, "pruned", 0.25, {"dropout": 0.25}),
    TrialResult(3, "complete", 0.75, {"dropout": 1 / 3}),
    TrialResult(4, "complete", 0.75, {"dropout": 0.4}),
    TrialResult(5, "running", None, {"dropout": 0.5}),
]


@pytest.mark.parametrize(
    ("monitor", "number"), [("accuracy", 3), ("macro_f1", 3), ("loss", 1)]
)
def test_the_best_is_complete_and_the_earliest_of_equals(monitor, number):
    # The pruned one has the least loss, but of fewer epochs.
    assert best_of(TRIALS, monitor).number == number


def test_there_may_be_no_best():
    assert best_of(TRIALS[:1], "loss") is None


def test_the_table_holds_every_trial_exactly():
    rows = list(csv.DictReader(trials_table(TRIALS, "accuracy").splitlines()))
    assert [row["number"] for row in rows] == list("012345")
    assert rows[0]["reason"] == "The loss became nan, at once."
    assert rows[0]["accuracy"] == ""
    assert (rows[1]["accuracy"], rows[1]["seconds"]) == ("0.5", "2.5")
    assert float(rows[3]["dropout"]) == 1 / 3


def test_a_score_of_0_is_a_score():
    trials = [TrialResult(0, "complete", 0.0, {}), TrialResult(1, "failed", None, {})]
    rows = list(csv.DictReader(trials_table(trials, "loss").splitlines()))
    assert [row["loss"] for row in rows] == ["0.0", ""]
    assert best_of(trials, "loss").number == 0


@pytest.mark.parametrize(
    ("value", "monitor", "text"),
    [
        (0.87654, "accuracy", "87.65%"),
        (0.87654, "macro_f1", "87.65%"),
        (0.87654, "loss", "0.8765"),
        (None, "loss", ""),
    ],
)
def test_a_score_in_words(value, monitor, text):
    assert MONITORS[monitor].text(value) == text


def test_settings_in_words():
    settings = {"packing": True, "learning_rate": 1.23456e-5, "epochs": 3}
    settings["pooling"] = "last"
    wanted = "packing=true, learning_rate=1.235e-05, epochs=3, pooling=last"
    assert settings_text(settings) == wanted

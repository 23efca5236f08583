import io

import numpy as np
import pytest
from rich.console import Console

from sentiment.evaluation.metrics import classification_metrics
from sentiment.evaluation.summary import (
    headline,
    print_run,
    print_scores,
    print_trials,
)
from sentiment.evaluation.trials import TrialResult

# Of "bad" 2 of 3 are found; of "good" 1 of 1, and 1 of the 2 predicted is good.
LABELS = [0, 0, 0, 1]
PROBABILITIES = np.array([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
RUN = {
    "tokens_read": 9_000_000,
    "tokens_dropped": 1_000_000,
    "fill_ratio": 0.9671,
    "best_epoch": 2,
    "num_epochs": 3,
    "num_parameters": 1_234_567,
    "seconds": 90.0,
    "device": "cpu (2 cores)",
}


def metrics(names=("bad", "good")):
    return classification_metrics(LABELS, PROBABILITIES, list(names))


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def lines(console):
    return console.file.getvalue().splitlines()


def cells(console, name):
    """The table row of a class."""
    (row,) = (line for line in lines(console) if line.startswith(f"│ {name}"))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_headline_by_hand():
    # Wilson for 3 of 4; the F1 scores are 4/5 and 2/3; the loss is
    # (3 ln 4/3 + ln 4) / 4; confidence 0.75 is right in 3 of 4.
    assert headline(metrics()) == (
        "accuracy 75.00% (95% interval 30.1% to 95.4%), macro-F1 73.33%, "
        "loss 0.562, calibration error 0.000"
    )


def test_a_row_for_each_class(console):
    print_scores(metrics(), "Test", console)
    assert f"Test: {headline(metrics())}" in lines(console)
    assert cells(console, "bad") == ["bad", "100.0%", "66.7%", "80.0%", "3"]
    assert cells(console, "good") == ["good", "50.0%", "100.0%", "66.7%", "1"]


def test_brackets_in_a_class_name_are_shown(console):
    print_scores(metrics(("[red]", "[b]x[/b]")), "Test", console)
    assert cells(console, "[red]")[0] == "[red]"
    assert cells(console, "[b]x[/b]")[0] == "[b]x[/b]"


def test_a_run_shows_its_evaluations_and_figures(console):
    print_run({"validation": metrics(), "test": metrics(), "run": RUN}, "w", console)
    text = console.file.getvalue()
    assert text.index("Validation: accuracy") < text.index("Test: accuracy")
    assert "1,234,567 parameters, best epoch 2 of 3, 1.5 minutes" in text
    assert "on cpu (2 cores)" in text
    assert "9,000,000 training tokens an epoch, 10.0% of all left out" in text
    assert "rows 96.7% full" in text


def test_a_run_without_test_shows_none(console):
    print_run({"validation": metrics(), "run": RUN}, "w", console)
    assert "Test:" not in console.file.getvalue()


def test_the_workdir_is_shown_as_it_is(console):
    print_run({"run": RUN}, "runs/[old] a", console)
    assert "Saved in runs/[old] a" in console.file.getvalue()
    assert "--model='runs/[old] a' --text" in console.file.getvalue()


def test_the_default_console_is_the_terminal(capsys):
    print_scores(metrics(), "Test")
    assert "75.00%" in capsys.readouterr().out


def test_a_row_for_each_trial_and_the_winner_is_marked(console):
    trials = [
        TrialResult(0, "complete", 0.5, {"pooling": "[last]"}),
        TrialResult(1, "complete", 0.25, {"pooling": "mean"}),
        TrialResult(2, "pruned", 0.125, {"pooling": "max"}),
        TrialResult(3, "failed", None, {"pooling": "gru"}),
    ]
    print_trials(trials, "loss", console)
    rows = {number: cells(console, f"    {number}") for number in range(4)}
    assert rows == {
        0: ["0", "0.5000", "[last]", ""],
        1: ["1", "0.2500", "mean", "winner"],
        2: ["2", "0.1250", "max", "pruned"],
        3: ["3", "", "gru", "failed"],
    }
    assert "validation loss" in console.file.getvalue()

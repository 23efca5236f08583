import io

import numpy as np
import pytest
from rich.console import Console

from sentiment.evaluation.comparison import Compared
from sentiment.evaluation.metrics import classification_metrics
from sentiment.evaluation.summary import (
    headline,
    print_comparison,
    print_compression,
    print_pretraining,
    print_run,
    print_samples,
    print_scores,
    print_splits,
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


def test_classes_without_examples_are_named(console):
    names = ["bad", "good", "so so"]
    probabilities = np.c_[PROBABILITIES, np.zeros(4)]
    print_scores(classification_metrics(LABELS, probabilities, names), "Test", console)
    assert "No example is of so so; macro-F1 counts an F1 of 0" in lines(console)[-1]


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


def test_scores_without_texts_that_were_seen_say_how_many_these_are(console):
    unseen = {**metrics(), "num_examples": 3}
    print_splits({"test": metrics(), "test_unseen": unseen}, console)
    text = console.file.getvalue()
    assert "Without the 1 test texts that stand in the training data, too: " in text
    assert lines(console)[-1].endswith(headline(unseen))


def test_runs_side_by_side_differ_from_the_first(console):
    first = Compared("[a]", 0.5, (0.25, 0.75), 0.4, (0, 1), 0.0, (0.0, 0.0), 1.0)
    second = Compared("b", 0.75, (0.5, 0.9), 0.7, (0, 1), 0.25, (-0.125, 0.5), 0.03125)
    print_comparison([first, second], console)
    assert cells(console, "[a]") == [
        *("[a]", "50.00%", "25.0% to 75.0%", "40.00%", "", "")
    ]
    assert cells(console, "b") == [
        *("b", "75.00%", "50.0% to 90.0%", "70.00%"),
        *("+25.00% (-12.5% to +50.0%)", "0.031"),
    ]


def test_a_compressed_model_stands_beside_the_one_before(console):
    def scores(accuracy, megabytes, milliseconds):
        return {
            "accuracy": accuracy,
            "macro_f1": accuracy / 2,
            "expected_calibration_error": 0.125,
            "megabytes": megabytes,
            "milliseconds_per_review": milliseconds,
            "num_examples": 1234,
        }

    found = {
        "method": "int8",
        "split": "test",
        "before": scores(0.75, 8.0, 4.0),
        "after": scores(0.5, 2.0, 3.0),
    }
    print_compression(found, "runs/[small]", console)
    assert cells(console, "before") == [
        *("before", "75.00%", "37.50%", "0.125", "8.00", "4.00")
    ]
    assert cells(console, "after") == [
        *("after", "50.00%", "25.00%", "0.125", "2.00", "3.00")
    ]
    last = "25.0% of the size, -25.00% accuracy on 1,234 examples. Saved in runs/["
    assert last in console.file.getvalue()
    assert "int8, test data" in console.file.getvalue()


def test_a_language_model_shows_its_figures(console):
    found = {
        "validation": {"perplexity": 32.125, "bits_per_byte": 1.25},
        "corpus": {"num_train_tokens": 9_000_000},
        "run": {**RUN, "num_updates": 4321},
    }
    print_pretraining(found, "runs/[lm]", console)
    text = console.file.getvalue()
    assert "validation perplexity 32.12, 1.2500 bits per byte" in text
    assert "1,234,567 parameters, 4,321 updates on 9,000,000 tokens, 1.5 min" in text
    assert "--preset=runs/[lm]/preset" in text


def test_samples_are_shown_as_they_are(console):
    print_samples(["[b]one[/b]", "two"], console)
    text = console.file.getvalue()
    assert "[b]one[/b]" in text
    assert text.index("Sample 1") < text.index("one") < text.index("Sample 2")


def test_control_characters_are_shown_and_not_obeyed(console):
    scores = metrics(("bad", "\x1b[31mgood"))
    scores["per_class"]["\x1b[31mgood"]["support"] = 0
    print_scores(scores, "Test", console)
    print_samples(["a\x1b[2J"], console)
    printed = "\n".join(lines(console))
    assert "\x1b" not in printed
    assert printed.count(r"\x1b[31mgood") == 2
    assert r"a\x1b[2J" in printed

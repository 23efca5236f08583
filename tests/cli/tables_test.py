import io

import pytest
from rich.console import Console

from sentiment.cli.tables import print_predictions
from sentiment.inference.rows import label_rows
from tests.inference.conftest import LengthClassifier


@pytest.fixture
def classifier():
    return LengthClassifier()


def shown(classifier, *texts, width=200):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_predictions(texts, label_rows(classifier, texts), console)
    return console.file.getvalue()


def test_printed_row_has_text_label_and_probabilities(classifier):
    header, row = (
        line
        for line in shown(classifier, "x" * 75).splitlines()
        if "┃" in line or "│" in line
    )
    assert header.replace("┃", " ").split() == ["text", "label", "bad", "good"]
    assert row.replace("│", " ").split() == ["x" * 75, "good", "0.250", "0.750"]


@pytest.mark.parametrize("width", [0, 1, 30, 60])
def test_labels_and_numbers_are_whole_in_a_narrow_terminal(classifier, width):
    lines = shown(classifier, "x" * 75, width=width).splitlines()
    row = next(line for line in lines if "│" in line)
    assert row.replace("│", " ").split()[1:] == ["good", "0.250", "0.750"]


def test_printed_empty_text_says_so(classifier):
    row = shown(classifier, "ok", "").splitlines()[-2]
    assert row.replace("│", " ").split() == ["(empty", "after", "cleaning)"]


@pytest.mark.parametrize(
    "text", ["[bold]x[/bold]", r"\[/b]", "[/]", ":smile:", "[x] \\"]
)
def test_printed_text_is_not_read_as_markup(classifier, text):
    assert text in shown(classifier, text)


def test_printed_class_names_are_not_read_as_markup(classifier):
    classifier.label_names = ("[bad]", "[/good]")
    out = shown(classifier, "x" * 75)
    assert out.count("[/good]") == 2
    assert "[bad]" in out


def test_printed_text_does_not_steer_the_terminal(classifier):
    out = shown(classifier, "\x1b[2Jgone")
    assert "\x1b" not in out
    assert "\\x1b[2Jgone" in out


def test_printed_long_text_is_cut(classifier):
    out = shown(classifier, "x" * 250, width=400)
    assert "x" * 200 + "…" in out


def test_printed_table_fits_a_narrow_terminal_and_keeps_the_label(classifier):
    out = shown(classifier, "a word " * 20, "", width=60)
    assert max(map(len, out.splitlines())) <= 60
    for word in ("empty", "after", "cleaning"):
        assert word in out


def test_names_of_classes_are_shown_and_not_obeyed(classifier):
    classifier.label_names = ("bad", "\x1b[31mgood")
    printed = shown(classifier, "x" * 75)
    assert "\x1b" not in printed
    assert printed.count(r"\x1b[31mgood") == 2

"""`sentiment behave`; a test named `test_<flag>__<effect>` observes a flag."""

import csv
import dataclasses
import json

import pytest

from sentiment.config import BehaveCommand

SUITE = {
    "name": "toy",
    "words": {"good": ["Lovely", "great"], "bad": ["Awful", "dull"]},
    "tests": [
        {
            "section": "plain",
            "name": "praise",
            "label": "positive",
            "texts": ["{good} film", "{good}"],
        },
        {
            "section": "plain",
            "name": "the wrong way round",
            "label": "positive",
            "texts": ["{bad} film", "{bad}"],
        },
    ],
}


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(SUITE))
    return path


@pytest.fixture
def behave(call_script, trained, suite, tmp_path):
    """Runs the toy suite on the shared run; returns the JSON and what was printed."""

    def run(*arguments):
        output = tmp_path / "found.json"
        flags = (f"--model={trained.workdir}", f"--suite={suite}", f"--output={output}")
        result = call_script("behave", *flags, "--overwrite", *arguments)
        assert result.status == 0, result.err
        return json.loads(output.read_text()), result.out

    return run


def test_every_flag_has_a_test_that_observes_it():
    expected = {f.name for f in dataclasses.fields(BehaveCommand) if f.metadata}
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == expected


def test_suite__says_what_is_looked_for(behave):
    found, printed = behave()
    assert found["suite"] == "toy"
    praise, wrong = found["behaviours"]
    assert (praise["num_passed"], praise["num_cases"]) == (4, 4)
    assert (wrong["num_passed"], wrong["num_cases"]) == (0, 4)
    assert "Behaves in 50.0%" in printed
    assert "the wrong way round" in printed
    assert "0.0%" in printed


def test_suite__that_is_wrong_is_refused_before_the_model(call_script, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    flags = ("--model=nowhere", f"--suite={tmp_path}/bad.json")
    result = call_script("behave", *flags)
    assert result.status == 2
    assert "bad.json cannot be read" in result.err


def test_model__left_out_is_the_one_that_comes_along(call_script, tmp_path):
    output = tmp_path / "found.json"
    result = call_script("behave", f"--output={output}")
    assert result.status == 0, result.err
    found = json.loads(output.read_text())
    assert (found["suite"], found["meanings"]) == ("english", ["negative", "positive"])
    assert found["all"]["num_cases"] > 3_000
    sections = {name: part["share"] for name, part in found["sections"].items()}
    assert sections["plain"] > 0.8


def test_polarity__says_what_the_classes_mean(behave, trained):
    assert trained.metrics["test"]["per_class"].keys() == {"neg", "neu", "pos"}
    found, _ = behave("--polarity=positive,neutral,negative")
    praise, wrong = found["behaviours"]
    assert praise["num_passed"] == 0 < wrong["num_passed"]


def test_polarity__of_other_names_is_refused(call_script):
    result = call_script("behave", "--polarity=good,bad")
    assert result.status == 2
    assert "--polarity must name one of negative, neutral, positive" in result.err


def test_failures__are_shown_so_many(behave):
    for count in (0, 1, 3):
        found, printed = behave(f"--failures={count}")
        assert [len(b["failures"]) for b in found["behaviours"]] == [0, count]
        assert printed.count("wrong way round, not positive: ") == count


def test_cases__are_written_with_the_label_that_is_right(call_script, suite, tmp_path):
    tests = [
        {
            "section": "a",
            "name": "b",
            "labels": ["neutral", "positive"],
            "texts": ["C"],
        },
        {"section": "d", "name": "e", "change": "upper", "texts": ["Great", "So"]},
    ]
    suite.write_text(json.dumps(SUITE | {"tests": [*SUITE["tests"][:1], *tests]}))
    path = tmp_path / "cases.csv"
    flags = (f"--suite={suite}", f"--cases={path}")
    result = call_script("behave", *flags, "--model=nowhere")
    assert result.status == 0, result.err
    with open(path, newline="") as file:
        rows = {row.pop("text"): row for row in csv.DictReader(file)}
    praise = {"label": "positive", "section": "plain", "behaviour": "praise"}
    either = {"label": "", "section": "a", "behaviour": "b"}
    same = {"label": "", "section": "d", "behaviour": "e"}
    assert rows == {
        **dict.fromkeys(("Lovely film", "Great film", "Lovely", "Great"), praise),
        "C": either,
        "So": same,
    }
    assert "6 texts" in result.out
    refused = call_script("behave", *flags)
    assert refused.status == 2
    assert "exists" in refused.err
    beside = call_script("behave", *flags, f"--output={tmp_path}/o.json")
    assert "--cases asks no model" in beside.err
    contrary = [*SUITE["tests"], SUITE["tests"][0] | {"label": "negative"}]
    suite.write_text(json.dumps(SUITE | {"tests": contrary}))
    refused = call_script("behave", *flags, "--overwrite")
    assert "is negative in 'praise' of the suite and positive" in refused.err


def test_batch_size__is_rows_computed_at_once(computed_rows, behave):
    behave("--batch_size=1")
    assert set(computed_rows) == {1}


def test_output__that_cannot_be_written_is_refused_first(call_script, tmp_path):
    flags = ("--model=nowhere", f"--output={tmp_path}/none/found.json")
    result = call_script("behave", *flags)
    assert result.status == 2
    assert "does not exist" in result.err


def test_overwrite__replaces_the_output(call_script, trained, suite, tmp_path):
    output = tmp_path / "found.json"
    output.write_text("old")
    flags = (f"--model={trained.workdir}", f"--suite={suite}", f"--output={output}")
    assert call_script("behave", *flags).status == 2
    assert output.read_text() == "old"
    assert call_script("behave", *flags, "--overwrite").status == 0
    assert json.loads(output.read_text())["suite"] == "toy"

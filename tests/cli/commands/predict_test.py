"""`sentiment predict`; a test named `test_<flag>__<effect>` observes a flag.

What predictions in a file look like is tested in tests/inference/files_test.py.
"""

import dataclasses

import numpy as np
import pytest

from sentiment.config import PredictCommand
from sentiment.data.tables.reader import Table
from sentiment.inference import files as predictor
from sentiment.inference.files import PredictedFile
from sentiment.inference.loading import load_classifier
from sentiment.models.ensemble import Ensemble
from tests.cli.conftest import CLASSES, reviews
from tests.data.tables.workbook import write_workbook


@pytest.fixture
def call(call_script, trained):
    """Runs the script in this process, with the shared run as model."""
    return lambda *flags: call_script("predict", f"--model={trained.workdir}", *flags)


def rows_of(path):
    return [row for _, row in Table(path).rows()]


def test_every_flag_has_a_test_that_observes_it():
    expected = {f.name for f in dataclasses.fields(PredictCommand) if f.metadata}
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == expected


def test_fresh_process_elsewhere_classifies_raw_texts(run_script, trained):
    texts = ("Lovely, GREAT film!", "<br />")
    flags = [f"--text={text}" for text in texts]
    result = run_script("predict.py", f"--model={trained.workdir}", *flags)
    assert result.returncode == 0, result.stderr
    probabilities = trained.classifier.predict(list(texts))
    lines = [line for line in result.stdout.splitlines() if "0." in line]
    for line, text, row in zip(lines, texts[:1], probabilities[:1], strict=True):
        assert text.split()[0] in line
        assert CLASSES[row.argmax()] in line
        assert all(f"{value:.3f}" in line for value in row)
    assert "(empty after cleaning)" in result.stdout


def test_text__is_lowercased_as_in_training(call, trained):
    def numbers(text):
        return call(f"--text={text}").out.split("┩")[1].split("│")[2:]

    assert numbers("LOVELY film") == numbers("lovely film")
    assert numbers("lovely film") != numbers("boring! film")


def test_text__may_be_empty(call):
    result = call("--text=")
    assert result.status == 0
    assert "(empty after cleaning)" in result.out


@pytest.mark.parametrize("place", ["model.keras", "preset"])
def test_model__may_be_any_form_of_it(call, trained, place):
    expected = call("--text=lovely film").out
    assert (
        call("--text=lovely film", f"--model={trained.workdir / place}").out == expected
    )


def test_model__several_answer_as_one(call, trained, contrary):
    texts = ["lovely film", "dull film"]
    output = call(
        "--text=lovely film",
        "--text=dull film",
        f"--model={trained.workdir},{contrary}",
    ).out
    members = [trained.classifier, load_classifier(contrary)]
    for text, mean in zip(texts, Ensemble(members).predict(texts), strict=True):
        line = next(line for line in output.splitlines() if text in line)
        assert all(f"{value:.3f}" in line for value in mean)


def test_model__left_out_is_the_one_that_comes_along(run_script):
    texts = ("a wonderful, moving film", "a dull waste of two hours")
    no_network = {"HTTPS_PROXY": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}
    flags = [f"--text={text}" for text in texts]
    result = run_script("predict.py", *flags, env=no_network)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if "0." in line]
    for line, label in zip(lines, ("positive", "negative"), strict=True):
        assert f" {label} " in line


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_input__rows_come_back_with_the_predictions(
    call, trained, files, tmp_path, suffix
):
    output = tmp_path / f"b.{suffix}"
    result = call(f"--input={files.test}", f"--output={output}")
    assert result.status == 0, result.err
    rows = rows_of(output)
    assert [(row["text"], row["label"]) for row in rows] == reviews(46, 1)
    expected = trained.classifier.predict([row["text"] for row in rows])
    names = [f"predicted_probability_{name}" for name in CLASSES]
    found = [[float(row[name]) for name in names] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = [CLASSES[i] for i in expected.argmax(axis=1)]
    assert [row["predicted_label"] for row in rows] == labels
    hits = np.mean([row["label"] == row["predicted_label"] for row in rows])
    assert hits == pytest.approx(trained.metrics["test"]["accuracy"])


def test_output__is_not_replaced_unless_asked(call, files, tmp_path):
    (tmp_path / "b.csv").write_text("mine")
    result = call(f"--input={files.test}", f"--output={tmp_path}/b.csv")
    assert result.status == 2
    assert "--overwrite" in result.err
    assert (tmp_path / "b.csv").read_text() == "mine"


@pytest.fixture
def handed_on(call, monkeypatch):
    """The options that `predict_file` gets from flags."""

    def run(*flags):
        received = {}

        def predict_file(*_, **options):
            received.update(options)
            return PredictedFile(0, 0, 0, ())

        monkeypatch.setattr(predictor, "predict_file", predict_file)
        assert call("--input=a.csv", "--output=b.csv", *flags).status == 0
        return received

    return run


def test_what_was_written_and_left_out_is_printed(call, monkeypatch):
    predicted = PredictedFile(1200, 4, 11, ("line 3: 1 fields", "line 5: 3 fields"))
    monkeypatch.setattr(predictor, "predict_file", lambda *_, **__: predicted)
    result = call("--input=a.csv", "--output=b.csv", "--skip_bad_rows")
    assert result.out.splitlines()[-3:] == [
        "no label: line 3: 1 fields",
        "no label: line 5: 3 fields",
        "1,200 rows written to b.csv; "
        "no label for 4 without text and 11 that cannot be read.",
    ]
    monkeypatch.setattr(
        predictor, "predict_file", lambda *_, **__: PredictedFile(3, 0, 0, ())
    )
    result = call("--input=a.csv", "--output=b.csv")
    assert result.out.splitlines()[-1] == "3 rows written to b.csv."


def test_overwrite__is_handed_on(handed_on):
    assert handed_on("--overwrite")["overwrite"]
    assert not handed_on()["overwrite"]


def test_skip_bad_rows__is_handed_on(handed_on):
    assert handed_on("--skip_bad_rows")["skip_bad_rows"]
    assert not handed_on()["skip_bad_rows"]


def test_escape_formulas__is_handed_on(handed_on):
    assert handed_on("--escape_formulas")["escape_formulas"]
    assert not handed_on()["escape_formulas"]


def test_text_column__is_handed_on(handed_on):
    assert handed_on("--text_column=body")["text_column"] == "body"
    assert handed_on()["text_column"] == ""


@pytest.mark.parametrize(
    ("flag", "value"),
    [("encoding", "gb18030"), ("delimiter", ";"), ("quoting", "none"), ("sheet", "S")],
)
def test_how_a_table_is_read_is_handed_on(handed_on, flag, value):
    assert handed_on(f"--{flag}={value}")[flag] == value


def test_columns__are_those_of_a_file_without_header(call, tmp_path):
    (tmp_path / "a.csv").write_text("lovely film,1\nboring film,2\n")
    flags = (f"--input={tmp_path}/a.csv", f"--output={tmp_path}/b.csv")
    result = call(*flags)
    assert result.status == 2
    assert "--columns=text,label" in result.err
    assert call(*flags, "--columns=text,stars").status == 0
    rows = rows_of(tmp_path / "b.csv")
    assert [row["text"] for row in rows] == ["lovely film", "boring film"]


def test_encoding__reads_it(call, tmp_path):
    content = "text\nlovely 电影\n".encode("gb18030")
    (tmp_path / "a.csv").write_bytes(content)
    flags = (f"--input={tmp_path}/a.csv", f"--output={tmp_path}/b.csv")
    assert "--encoding=gb18030" in call(*flags).err
    assert call(*flags, "--encoding=gb18030").status == 0
    assert rows_of(tmp_path / "b.csv")[0]["text"] == "lovely 电影"


def test_delimiter__separates_columns(call, tmp_path):
    (tmp_path / "a.csv").write_text("text#n\nlovely, film#1\n")
    flags = (f"--input={tmp_path}/a.csv", f"--output={tmp_path}/b.csv")
    assert call(*flags, "--delimiter=#").status == 0
    assert rows_of(tmp_path / "b.csv")[0]["text"] == "lovely, film"


def test_quoting__decides_what_a_quote_is(call, tmp_path):
    (tmp_path / "a.csv").write_text('text\n"lovely"\n')
    flags = (f"--input={tmp_path}/a.csv", f"--output={tmp_path}/b.jsonl")
    for quoting, text in (("auto", "lovely"), ("none", '"lovely"')):
        assert call(*flags, f"--quoting={quoting}", "--overwrite").status == 0
        assert rows_of(tmp_path / "b.jsonl")[0]["text"] == text


def test_sheet__is_the_one_that_is_read(call, tmp_path):
    sheets = {name: [["text"], [f"lovely {name}"]] for name in ("One", "Two")}
    path = write_workbook(tmp_path / "a.xlsx", **sheets)
    flags = (f"--input={path}", f"--output={tmp_path}/b.csv")
    assert "--sheet=NAME" in call(*flags).err
    assert call(*flags, "--sheet=Two").status == 0
    assert rows_of(tmp_path / "b.csv")[0]["text"] == "lovely Two"


def test_batch_size__is_handed_on(handed_on):
    assert handed_on("--batch_size=5")["batch_size"] == 5

"""`sentiment evaluate`; a test named `test_<flag>__<effect>` observes a flag."""

import dataclasses
import json

import pytest

from sentiment.config import EvaluateCommand
from tests.cli.conftest import CLASSES, reviews

# What the shared run was trained with, as far as it decides the splits.
CARVED = ("--validation_fraction=0.3", "--seed=3")


@pytest.fixture
def evaluated(call_script, trained, files, tmp_path):
    """Evaluates the shared run in this process; returns the JSON."""

    def run(*arguments):
        output = tmp_path / "scores.json"
        model = (f"--model={trained.workdir}", f"--output={output}", "--overwrite")
        result = call_script("evaluate", *model, *files.flags, *CARVED, *arguments)
        assert result.status == 0, result.err
        return json.loads(output.read_text())

    return run


def same_scores(found, expected):
    exact = ("accuracy", "macro_f1", "confusion_matrix", "num_examples", "per_class")
    for name in exact:
        assert found[name] == expected[name]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found.keys() == expected.keys()


def test_every_flag_has_a_test_that_observes_it():
    expected = {f.name for f in dataclasses.fields(EvaluateCommand) if f.metadata}
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == expected


def test_fresh_process_elsewhere_finds_the_scores_of_training(
    run_script, trained, files, tmp_path
):
    result = run_script(
        "evaluate.py",
        f"--model={trained.workdir}",
        *files.flags,
        "--output=scores.json",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    saved = json.loads((trained.workdir / "metrics.json").read_text())["test"]
    same_scores(json.loads((tmp_path / "scores.json").read_text()), saved)
    assert saved["num_examples"] == 46
    assert f"Test: accuracy {saved['accuracy']:.2%}" in result.stdout


def test_data_cfg_of_a_run_names_its_own_splits(call_script, trained, tmp_path):
    output = tmp_path / "scores.json"
    for split in ("validation", "test"):
        result = call_script(
            "evaluate",
            f"--model={trained.workdir}",
            f"--flagfile={trained.workdir}/data.cfg",
            f"--split={split}",
            f"--output={output}",
            "--overwrite",
        )
        assert result.status == 0, result.err
        same_scores(json.loads(output.read_text()), trained.metrics[split])


def test_classes_are_matched_by_name_whatever_their_order(evaluated, trained):
    turned = evaluated("--label_names=pos,neg,neu")
    same_scores(turned, trained.metrics["test"])


def test_split__validation_is_what_the_run_carved(evaluated, trained):
    saved = json.loads((trained.workdir / "metrics.json").read_text())["validation"]
    assert saved["num_examples"] == 45
    same_scores(evaluated("--split=validation"), saved)


def test_split__train_is_the_rest(evaluated, trained):
    assert evaluated("--split=train")["num_examples"] == 105


def test_seed__decides_what_counts_as_validation(monkeypatch, evaluated):
    from sentiment.evaluation import evaluate

    seen = []
    encode = evaluate.encode_examples
    monkeypatch.setattr(
        evaluate,
        "encode_examples",
        lambda p, e, c: seen.append(e.texts) or encode(p, e, c),
    )
    for seed in (3, 3, 4):
        evaluated("--split=validation", f"--seed={seed}")
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("place", ["model.keras", "preset"])
def test_model__may_be_any_form_of_it(evaluated, trained, place):
    found = evaluated(f"--model={trained.workdir / place}")
    same_scores(found, trained.metrics["test"])


def test_model__several_answer_as_one(evaluated, trained, contrary):
    both = evaluated(f"--model={trained.workdir},{trained.workdir / 'preset'}")
    same_scores(both, trained.metrics["test"])
    with_another = evaluated(f"--model={trained.workdir},{contrary}")
    assert with_another["loss"] != pytest.approx(trained.metrics["test"]["loss"])


def test_batch_size__is_rows_computed_at_once(computed_rows, evaluated, trained):
    same_scores(evaluated("--batch_size=4"), trained.metrics["test"])
    assert len(computed_rows) > 1
    assert len(set(computed_rows)) == 1
    assert computed_rows[0] <= 4


def test_data_classes_only__leaves_the_others_of_the_model_out(
    evaluated, write_reviews, tmp_path
):
    path = write_reviews(tmp_path / "some.csv", 30)
    kept = [line for line in path.read_text().split("\n") if CLASSES[1] not in line]
    path.write_text("\n".join(kept))
    flags = (f"--test_file={path}", "--split=test")
    assert list(evaluated(*flags)["per_class"]) == list(CLASSES)
    found = evaluated(*flags, "--data_classes_only")
    assert list(found["per_class"]) == [CLASSES[0], CLASSES[2]]


def test_output__is_left_out_when_empty(call_script, trained, files, tmp_path):
    result = call_script(
        "evaluate", f"--model={trained.workdir}", *files.flags, "--max_test_examples=9"
    )
    assert result.status == 0
    assert "Test: accuracy" in result.out
    for label in ("neg", "neu", "pos"):
        assert label in result.out
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("output", "message"),
    [("none/scores.json", "does not exist"), ("", "is a folder")],
)
def test_output__that_cannot_be_written_is_refused_first(
    call_script, files, tmp_path, output, message
):
    model = f"--model={tmp_path}/none.keras"
    flag = f"--output={tmp_path}/{output}"
    result = call_script("evaluate", model, *files.flags, flag)
    assert result.status == 2
    assert message in result.err


def test_speed_flags_reach_the_classifier(call_script, trained, files, tmp_path):
    model = f"--model={trained.workdir}/model.keras"
    cache = tmp_path / "cache"
    result = call_script("evaluate", model, *files.flags, f"--cache_dir={cache}")
    assert result.status == 0, result.err
    assert len(list((cache / "tokens").iterdir())) == 1


def test_max_test_examples_counts_the_examples(evaluated):
    assert evaluated("--max_test_examples=9")["num_examples"] == 9


def test_labels_may_be_written_as_numbers(evaluated, trained, tmp_path):
    codes = {"neg": 0, "neu": 1, "pos": 2}
    path = tmp_path / "numbers.csv"
    rows = [f"{text},{codes[label]}\n" for text, label in reviews(46, 1)]
    path.write_text("text,label\n" + "".join(rows))
    flags = ("--train_file=", f"--test_file={path}")
    same_scores(evaluated(*flags), trained.metrics["test"])


def test_overwrite__replaces_an_output_and_nothing_else_does(
    call_script, trained, files, tmp_path
):
    output = tmp_path / "scores.json"
    output.write_text("mine")
    command = ("evaluate", f"--model={trained.workdir}", *files.flags)
    result = call_script(*command, f"--output={output}")
    assert (result.status, output.read_text()) == (2, "mine")
    assert "exists. Choose another name or pass --overwrite" in result.err
    assert call_script(*command, f"--output={output}", "--overwrite").status == 0
    assert json.loads(output.read_text())["num_examples"] == 46


def test_skipped_rows_are_counted(call_script, trained, tmp_path):
    (tmp_path / "bad.csv").write_text("text,label\nlovely,pos\nx,y,z\nfoo,other\n")
    model = f"--model={trained.workdir}"
    result = call_script(
        "evaluate", model, f"--test_file={tmp_path}/bad.csv", "--skip_bad_rows"
    )
    assert result.status == 0, result.err
    assert "skipped 2 bad rows" in result.out


def test_data_with_one_of_the_classes_is_enough(evaluated, tmp_path):
    (tmp_path / "one.csv").write_text("text,label\nlovely great film,pos\nfine,pos\n")
    found = evaluated("--train_file=", f"--test_file={tmp_path}/one.csv")
    assert found["num_examples"] == 2
    assert list(found["per_class"]) == ["neg", "neu", "pos"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--label_names=bad,good",), "The model knows 3 classes (neg, neu, pos)"),
        (("--test_file=",), "no labelled test split. It has: train"),
        (("--train_file=", "--split=train"), "no labelled train split. It has: test"),
        (("--label_names=bad,so so,good",), "The model knows the classes neg, neu"),
    ],
)
def test_data_that_does_not_fit_the_model(call_script, trained, files, flags, message):
    model = f"--model={trained.workdir}"
    result = call_script("evaluate", model, *files.flags, *flags)
    assert result.status == 2
    assert message in result.err

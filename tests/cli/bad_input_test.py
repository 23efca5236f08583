"""Bad input: a clear message, status 2, no traceback, and before training.

`call_script` lets every error but `InputError` out, so a traceback fails a test.
"""

import json
import time

import huggingface_hub
import pytest

from sentiment.models import presets
from sentiment.training import train
from tests.cli.conftest import TINY, reviews

# What a proxy that is down does: nothing can be downloaded, and fast.
OFFLINE = {
    "https_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "no_proxy": "",
    "NO_PROXY": "",
}


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def fit(*_):
        raise AssertionError("training started")

    monkeypatch.setattr(train, "fit", fit)


@pytest.fixture
def refused(call_script, tmp_path):
    """The message of a training command that is refused."""

    def run(*arguments):
        workdir = tmp_path / "refused"
        result = call_script("train", *TINY, f"--workdir={workdir}", *arguments)
        assert result.status == 2
        assert result.err.startswith("error: ")
        assert "Traceback" not in result.err
        assert not (workdir / "model.keras").exists()
        return result.err

    return run


@pytest.fixture
def bad_file(refused, tmp_path):
    """The message for a training file of the given content."""

    def run(content, *arguments, name="bad.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        message = refused(f"--train_file={path}", *arguments)
        assert str(path) in message or "training" in message
        return message

    return run


@pytest.fixture
def started(call_script, monkeypatch, tmp_path):
    """Whether training would start: for what is no error."""

    def run(*arguments):
        reached = []

        def fit(*_):
            reached.append(True)
            raise KeyboardInterrupt

        monkeypatch.setattr(train, "fit", fit)
        workdir = f"--workdir={tmp_path / 'started'}"
        return call_script("train", *TINY, workdir, *arguments), bool(reached)

    return run


def assert_refused(result):
    """What the process itself shows of an `InputError`."""
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(("error: ", "Without network"))
    assert "Traceback" not in result.stdout + result.stderr


# --- In processes of their own


def test_unknown_flag_ends_the_process_with_status_2(run_script):
    result = run_script("train.py", "--learning_rte=1", "--workdir=/none")
    assert_refused(result)
    assert result.stdout == ""
    assert "learning_rte" in result.stderr
    assert "learning_rate" in result.stderr


def test_builtin_preset_without_network_ends_the_process_soon(
    run_script, files, tmp_path
):
    began = time.monotonic()
    result = run_script(
        "train.py",
        "--preset=gpt2_base_en",
        f"--train_file={files.train}",
        f"--workdir={tmp_path}",
        env={**OFFLINE, "KAGGLEHUB_CACHE": str(tmp_path / "cache")},
    )
    assert time.monotonic() - began < 300  # Also where all else is slow.
    assert_refused(result)
    assert "'gpt2_base_en'" in result.stderr
    assert "--preset=FOLDER" in result.stderr


# --- Files


@pytest.mark.parametrize("flag", ["train_file", "validation_file", "test_file"])
def test_missing_file_is_named(refused, files, flag):
    message = refused(*files.flags, f"--{flag}=/none/a.csv")
    assert "/none/a.csv" in message


def test_folder_is_no_file(refused, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    assert "folder.csv" in refused(f"--train_file={tmp_path}/folder.csv")


def test_missing_text_column_lists_those_there_are(bad_file):
    message = bad_file("review,stars\na,1\nb,2\n")
    assert "no column 'text'" in message
    assert "'review', 'stars'" in message


def test_missing_label_column_lists_those_there_are(bad_file):
    message = bad_file("text,stars\na,1\nb,2\n", "--label_column=grade")
    assert "no column 'grade'. It has: 'text', 'stars'" in message


def test_labels_outside_the_names_are_shown_with_their_lines(bad_file):
    message = bad_file("text,label\na,pos\nb,meh\nc,neg\nd,\n", "--label_names=neg,pos")
    assert "bad rows: 2" in message
    assert "line 3: label 'meh' is not in ('neg', 'pos')" in message
    assert "line 5: no label" in message
    assert "--skip_bad_rows" in message


def test_labels_of_other_splits_must_occur_in_training(refused, files, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("text,label\na,neg\nb,great\n")
    message = refused(*files.flags, f"--test_file={path}")
    assert "line 3: label 'great' is not in ('neg', 'neu', 'pos')" in message


def test_unparsable_rows_are_shown_with_their_lines(bad_file):
    message = bad_file('text,label\na,pos\n"b,neg\nc,neg\n"d\ne",pos\nf,pos,x\n')
    assert "line 3: bad quoting" in message
    assert "line 7: 3 fields instead of 2" in message


def test_unparsable_json_is_shown_with_its_line(bad_file):
    rows = [json.dumps({"text": t, "label": n}) for t, n in reviews(9, 0)]
    message = bad_file("\n".join([*rows, '{"text": "a"', "[1]"]), name="bad.jsonl")
    assert "line 10: broken JSON" in message
    assert "line 11: must be a JSON object, is a list" in message


def test_bad_rows_are_skipped_on_request_and_said(started, files, tmp_path):
    path = tmp_path / "some_bad.csv"
    path.write_text(files.train.read_text() + "a,b,c\nx,\n")
    result, reached = started(f"--train_file={path}", "--skip_bad_rows")
    assert reached
    assert "skipped 2 bad rows." in result.out


@pytest.mark.parametrize("name", ["bad.csv", "bad.tsv", "bad.jsonl", "bad.parquet"])
def test_empty_file_is_named(bad_file, name):
    assert name in bad_file("", name=name)


def test_header_alone_has_no_rows(bad_file):
    assert "no rows" in bad_file("text,label\n")


def test_one_class_alone_is_nothing_to_learn(bad_file):
    message = bad_file("text,label\n" + "fine,pos\n" * 50)
    assert "one class only, 'pos', in 50 examples" in message


def test_too_few_examples_to_carve_validation_from(bad_file):
    assert "--validation_file" in bad_file("text,label\na,neg\nb,pos\n")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
def test_other_encoding_says_which_it_may_be(bad_file, encoding):
    content = "text,label\nfine,pos\ncafé,neg\n".encode(encoding)
    message = bad_file(content)
    assert "not UTF-8" in message
    known = {"latin-1": "cp1252", "utf-16-le": "utf_16_le"}[encoding]
    assert f"--encoding={known} reads that line as" in message
    if encoding == "latin-1":
        assert "line 3" in message


def test_damaged_parquet_is_named(bad_file):
    assert "cannot be read" in bad_file(b"PAR1 and nothing else", name="bad.parquet")


def test_tfrecord_folder_says_what_to_do(refused, shared_data):
    folder = shared_data / "tfds_tfrecord"
    message = refused("--dataset=glue/sst2", f"--tfds_data_dir={folder}")
    assert "only TensorFlow reads" in message
    assert "--out_file_format=array_record" in message


def test_unknown_tfds_name_points_to_the_catalog(refused):
    message = refused("--dataset=imdb_revues")
    assert "'imdb_revues'" in message
    assert "tensorflow.org/datasets/catalog" in message


# --- Settings


def test_finished_run_is_not_replaced(call_script, trained, files):
    before = {p: p.read_bytes() for p in trained.workdir.glob("*.*")}
    result = call_script("train", *files.flags, f"--workdir={trained.workdir}")
    assert result.status == 2
    assert "already holds a finished run" in result.err
    assert "--overwrite" in result.err
    assert {p: p.read_bytes() for p in trained.workdir.glob("*.*")} == before


def test_workdir_that_is_a_file_is_named(refused, files, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in refused(*files.flags, f"--workdir={tmp_path}/file")


def test_value_out_of_range_is_named(refused, files):
    message = refused(*files.flags, "--dropout=1.5")
    assert "--dropout must be >= 0 and < 1. Received: 1.5" in message


def test_sequence_beyond_the_positions_is_refused(refused, files):
    message = refused(*files.flags, "--sequence_length=33")  # of TINY's 32
    assert "beyond the 32 positions" in message


def test_sequence_beyond_the_positions_of_a_preset_is_refused(refused, trained, files):
    preset = f"--preset={trained.workdir}/preset"
    flags = (*files.flags, preset, "--lowercase")
    message = refused(*flags, "--sequence_length=33")
    assert "sequence_length=33 is beyond the backbone's 32 positions" in message


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--class_weight=1,2", "3 numbers"),
        ("--num_devices=99", "--num_devices=99"),
        ("--tokenizer=/none", "/none"),
        ("--label_names=neg,neg,neu,pos", "neg"),
    ],
)
def test_setting_that_does_not_fit_is_named(refused, files, flag, message):
    assert message in refused(*files.flags, flag)


# --- Presets and models


@pytest.mark.parametrize(
    "preset", ["hf://openai-community/gpt2", "hf://no-such-user/no-such-model"]
)
def test_hugging_face_without_network_names_the_local_way(
    refused, files, monkeypatch, tmp_path, preset
):
    asked = []
    monkeypatch.setattr(presets, "has_network", lambda host: bool(asked.append(host)))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    message = refused(*files.flags, f"--preset={preset}")
    assert asked == ["huggingface.co"]
    assert repr(preset) in message
    assert "--preset=FOLDER" in message


@pytest.mark.parametrize(
    "preset", ["gpt2_base_en", "kaggle://keras/gpt2/keras/gpt2_base_en"]
)
def test_kaggle_without_network_names_the_local_way(
    refused, files, monkeypatch, tmp_path, preset
):
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    message = refused(*files.flags, f"--preset={preset}")
    assert repr(preset) in message
    assert "--preset=FOLDER" in message


@pytest.mark.parametrize("preset", ["hf://gpt2/a/b", "gpt3_base_en", "/none"])
def test_preset_that_cannot_be_is_named(refused, files, preset):
    assert repr(preset) in refused(*files.flags, f"--preset={preset}")


def test_preset_of_another_architecture_is_named(refused, files, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    assert "'mamba'" in refused(*files.flags, f"--preset={tmp_path}")


@pytest.mark.parametrize("damage", ["truncated", "changed"])
@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_damaged_model_is_named(call_script, trained, tmp_path, script, damage):
    content = bytearray((trained.workdir / "model.keras").read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 0xFF
    path = tmp_path / "model.keras"
    path.write_bytes(content if damage == "changed" else content[: len(content) // 2])
    more = "--text=a" if script == "predict" else "--test_file=a.csv"
    result = call_script(script, f"--model={path}", more)
    assert result.status == 2
    assert str(path) in result.err
    assert "damaged" in result.err


@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_missing_model_is_named(call_script, script):
    more = "--text=a" if script == "predict" else "--test_file=a.csv"
    result = call_script(script, "--model=/none/model.keras", more)
    assert result.status == 2
    assert "There is no model at /none/model.keras" in result.err


# --- Not errors


def test_empty_texts_are_trained_on(started, files, tmp_path):
    path = tmp_path / "empties.csv"
    path.write_text(files.train.read_text() + '"",neg\n<br />,pos\n')
    assert started(f"--train_file={path}")[1]


def test_class_that_only_training_has_is_fine(started, files, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("text,label\na,neg\nb,pos\n")
    assert started(f"--train_file={files.train}", f"--test_file={path}")[1]

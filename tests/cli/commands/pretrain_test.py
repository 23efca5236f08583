import json

import pytest

from sentiment.cli import main as cli
from sentiment.errors import InputError
from sentiment.training import pretrain as module
from sentiment.training import resumable_run
from tests.cli.conftest import TINY, reviews
from tests.conftest import FreshProcess, call_fresh


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(text for text, _ in reviews(120, 0)))
    return path


def test_pretrain_then_fine_tune_and_predict(text_file, files, tmp_path):
    """The whole way, in fresh processes."""
    command = (
        f"--text_files={text_file}",
        *TINY,
        "--lowercase",
        "--epochs=2",
        "--batch_size=4",
        f"--workdir={tmp_path / 'lm'}",
        "--sample=2",
    )
    printed = call_fresh(cli.main, ["pretrain", *command])
    assert "bits per byte" in printed
    assert "Sample 2" in printed
    assert "tokens/s" in printed
    preset = f"--preset={tmp_path / 'lm' / 'preset'}"
    workdir = f"--workdir={tmp_path / 'run'}"
    command = ["train", *files.flags, preset, workdir, "--epochs=1", "--batch_size=4"]
    refused = FreshProcess(cli.main, command)
    assert "--lowercase=True" in refused.wait()
    assert refused.status == 2
    call_fresh(cli.main, [*command, "--lowercase"])
    command = ["predict", f"--model={tmp_path / 'run'}", "--text=Lovely film"]
    assert "Lovely film" in call_fresh(cli.main, command)


def test_two_stages_in_one_command(text_file, files, tmp_path):
    sizes = [*TINY, "--batch_size=4", "--epochs=1"]
    (tmp_path / "lm.cfg").write_text("\n".join([f"--text_files={text_file}", *sizes]))
    lines = [*files.flags, "--batch_size=4", "--epochs=1"]
    (tmp_path / "classifier.cfg").write_text("\n".join(lines))
    command = [
        "two_stage",
        f"--language_model={tmp_path / 'lm.cfg'}",
        f"--classifier={tmp_path / 'classifier.cfg'}",
        f"--workdir={tmp_path / 'run'}",
    ]
    call_fresh(cli.main, command)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics) == {"language_model", "classifier"}
    config = (tmp_path / "run" / "classifier" / "config.cfg").read_text()
    assert f"--preset={tmp_path / 'run' / 'language_model' / 'preset'}" in config


@pytest.mark.parametrize("missing", ["language_model", "classifier", "workdir"])
def test_two_stage_names_what_is_missing(missing):
    given = {"language_model": "a", "classifier": "b", "workdir": "c"}
    del given[missing]
    arguments = [f"--{name}={value}" for name, value in given.items()]
    with pytest.raises(InputError, match=f"--{missing} is missing"):
        cli.parse("two_stage", [*arguments])


def test_lstm_goes_the_same_way(text_file, files, tmp_path):
    command = (
        f"--text_files={text_file}",
        *TINY,
        "--architecture=lstm",
        "--epochs=1",
        "--batch_size=4",
        f"--workdir={tmp_path / 'lm'}",
        "--sample=1",
    )
    assert "Sample 1" in call_fresh(cli.main, ["pretrain", *command])
    preset = f"--preset={tmp_path / 'lm' / 'preset'}"
    workdir = f"--workdir={tmp_path / 'run'}"
    command = ["train", *files.flags, preset, workdir, "--epochs=1", "--batch_size=4"]
    call_fresh(cli.main, command)
    model = f"--model={tmp_path / 'run'}"
    assert "Test: accuracy" in call_fresh(cli.main, ["evaluate", model, files.flags[1]])


def test_sample_is_off_by_default(monkeypatch, text_file):
    arguments = [f"--text_files={text_file}", "--workdir=w"]
    assert cli.parse("pretrain", [*arguments]).sample == 0


@pytest.mark.parametrize(
    ("argument", "name"),
    [("--exclude_splits=", "exclude_splits"), ("--splits=a,b", "splits")],
)
def test_lists_may_be_empty_or_several(argument, name):
    arguments = ["--dataset=d", "--workdir=w", argument]
    corpus = cli.parse("pretrain", [*arguments]).run.corpus
    wanted = tuple(filter(None, argument.split("=")[1].split(",")))
    assert getattr(corpus, name) == wanted


def test_checkpoints_come_every_so_many_updates(text_file, tmp_path, monkeypatch):
    class Started(Exception):
        pass

    def stop(model, x, **options):
        raise Started(options)

    monkeypatch.setattr(module.PackedCausalLM, "fit", stop)
    command = cli.parse(
        "pretrain",
        [
            f"--text_files={text_file}",
            *TINY,
            "--batch_size=4",
            "--checkpoint_every=3",
            "--cache_dir=",
            f"--workdir={tmp_path}",
        ],
    )
    with pytest.raises(Started) as started:
        module.pretrain(command.run, command.workdir)
    (options,) = started.value.args
    kind = resumable_run._Recorder
    (recorder,) = (c for c in options["callbacks"] if isinstance(c, kind))
    # A checkpoint comes with the validation at the end of each of Keras' epochs.
    training = recorder.run.training
    assert options["steps_per_epoch"] == training.checkpoint_every == 3

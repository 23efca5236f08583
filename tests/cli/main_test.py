"""How the command line dispatches, and how a command ends."""

import logging
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tqdm import tqdm

import sentiment
from sentiment.cli import main as cli
from sentiment.config import PredictCommand
from sentiment.errors import InputError
from tests.conftest import ROOT

# What may take a second or more to import.
HEAVY = {
    "grain",
    "h5py",
    "jax",
    "keras",
    "keras_hub",
    "matplotlib",
    "numpy",
    "optax",
    "optuna",
    "orbax",
    "pyarrow",
    "sklearn",
    "tensorflow_datasets",
    "tokenizers",
}
REPORT_MODULES = """
import atexit, sys
atexit.register(lambda: print("MODULES", *sorted(sys.modules)))
from sentiment.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def run(monkeypatch):
    """Runs a command that does what it is told to."""

    def run(act, *arguments, **attributes):
        module = SimpleNamespace(
            __doc__="Acts.",
            CONFIG=PredictCommand,
            parse=lambda rest: rest,
            run=act,
            **attributes,
        )
        monkeypatch.setattr(cli, "command_module", lambda name: module)
        cli.main(["train", *arguments])

    return run


ADVICE = (
    " If it was the texts in a step that did not fit, these change what one needs: "
    "--batch_size, --remat. Otherwise the model or other programs hold the memory."
)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("No such thing."), 2, "error: No such thing.\n"),
        (InputError("No \x1b[2Jthing."), 2, "error: No \\x1b[2Jthing.\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (MemoryError(), 1, f"error: out of memory.{ADVICE}\n"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
            1,
            "error: out of memory (RESOURCE_EXHAUSTED: Out of memory allocating 9 "
            f"bytes.).{ADVICE}\n",
        ),
        (
            RuntimeError("INTERNAL: RuntimeProgramInputMismatch: 3 not 4"),
            1,
            "error: a compiled program does not fit the model that it is kept for "
            "(INTERNAL: RuntimeProgramInputMismatch: 3 not 4). The cache of compiled "
            "programs is damaged: delete its folder xla-* in --cache_dir.\n",
        ),
    ],
)
def test_exit_status_and_message(run, capsys, error, status, message):
    def act(_):
        raise error

    with pytest.raises(SystemExit) as stop:
        run(act)
    printed = capsys.readouterr()
    assert stop.value.code == status
    assert printed.err.endswith(message)
    assert printed.out == ""
    if status != 1:
        assert printed.err == message


def test_a_message_has_a_line_of_its_own_below_a_progress_bar(run, capsys):
    bars = []  # What is still referred to is not closed by the garbage collector.

    def act(_):
        bars.append(tqdm(total=3, file=sys.stderr, ascii=True))
        bars[0].update(1)
        raise InputError("No.")

    with pytest.raises(SystemExit):
        run(act)
    assert capsys.readouterr().err.endswith("\nerror: No.\n")


def test_an_argument_in_a_message_is_shown_as_the_flag_it_is(run, capsys):
    def act(_):
        raise InputError("Neither `batch_size`, `batch_size=9` nor `other=2`.")

    with pytest.raises(SystemExit):
        run(act)
    message = "error: Neither --batch_size, --batch_size=9 nor `other=2`.\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "arguments", [["configs"], ["--help"], ["train", "--help"], ["completion"]]
)
def test_output_that_cannot_be_written_is_no_traceback(arguments):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "sentiment", *arguments],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 1
    assert re.fullmatch(
        "error: what comes out cannot be written: .*No space left.*\n", ended.stderr
    )


def test_an_error_that_nobody_can_be_told_keeps_its_status():
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "sentiment", "nope"], cwd=ROOT, stderr=full
        )
    assert ended.returncode == 2


@pytest.mark.parametrize("name", ["configs", "completion"])
def test_what_computes_nothing_runs_beside_any_backend(name, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    cli.main([name])
    assert capsys.readouterr().out


@pytest.mark.parametrize(("backend", "is_jax"), [("", True), ("torch", False)])
def test_other_backends_are_refused(run, monkeypatch, capsys, backend, is_jax):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    if is_jax:
        run(lambda _: None)
        assert os.environ["KERAS_BACKEND"] == "jax"
        return
    with pytest.raises(SystemExit) as stop:
        run(lambda _: None)
    assert stop.value.code == 2
    assert "KERAS_BACKEND=torch. Unset it." in capsys.readouterr().err


def test_a_command_for_makers_is_offered_to_nobody():
    with pytest.raises(InputError, match="There are: train, predict") as error:
        cli.parse("nope", [])
    assert "bundle" not in str(error.value)


def test_what_a_command_logs_is_printed(run, capsys):
    run(lambda _: logging.getLogger("sentiment.x").info("Going on."))
    assert capsys.readouterr().out == "Going on.\n"


@pytest.mark.parametrize(
    ("missing", "attributes", "extra"),
    [
        ("sklearn.svm", {}, "train"),
        ("optuna", {}, "tune"),
        ("sklearn", {"EXTRA": "tune"}, "tune"),  # which brings that one, too
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    run, capsys, monkeypatch, tmp_path, missing, attributes, extra
):
    monkeypatch.setattr("sentiment.runtime.extras.CHECKOUT", tmp_path)

    def act(_):
        raise ModuleNotFoundError("No module", name=missing)

    with pytest.raises(SystemExit) as stop:
        run(act, **attributes)
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        f"error: This command needs {missing}, which is not installed: "
        f'pip install "sentiment[{extra}]"\n'
    )


def test_a_missing_library_of_no_extra_is_a_defect(run):
    def act(_):
        raise ModuleNotFoundError("No module", name="sentiment.no_such")

    with pytest.raises(ModuleNotFoundError):
        run(act)


def test_a_defect_is_not_dressed_as_a_user_error(run):
    def act(_):
        raise ValueError("defect")

    with pytest.raises(ValueError, match="defect"):
        run(act)


def test_run_is_given_what_parse_made(run):
    received = []
    run(received.append, "--x")
    assert received == [["--x"]]


def test_every_module_of_commands_is_a_command():
    folder = ROOT / "sentiment" / "cli" / "commands"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == set(cli.COMMANDS)


def test_every_command_that_works_in_a_checkout_has_its_script():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts == set(cli.COMMANDS) - {"configs", "completion"}
    for path in (ROOT / "scripts").glob("*.py"):
        assert f'main(["{path.stem}", *sys.argv[1:]])' in path.read_text()


# The base test that every command goes through.


@pytest.fixture(scope="module", params=cli.COMMANDS)
def name(request):
    return request.param


def test_a_command_says_what_it_does_and_shows_how(name):
    summary, empty, example, *_ = cli.command_module(name).__doc__.split("\n")
    assert summary.endswith(".")
    assert empty == ""
    assert example.split()[:2] == ["sentiment", name]


def test_an_extra_that_a_command_names_is_one_of_the_package(name):
    extra = getattr(cli.command_module(name), "EXTRA", "train")
    assert extra in cli.EXTRAS.values()


def test_help_names_every_flag(name, capsys):
    cli.main([name, "--help"])
    shown = capsys.readouterr().out
    command = cli.command_module(name)
    assert shown.startswith(command.__doc__.strip())
    for field in cli.flags_of(name):
        assert f"--{field.name}=" in shown or f"--[no]{field.name}" in shown


def test_an_unknown_flag_is_refused_with_what_was_meant(name):
    with pytest.raises(InputError, match="Unknown command line flag 'no_such_flag'"):
        cli.parse(name, ["--no_such_flag=1"])


def test_what_is_no_flag_is_refused(name):
    if name == "compare":
        pytest.skip("compare takes the workdirs of runs")
    with pytest.raises(InputError, match="Received: stray"):
        cli.parse(name, ["stray"])


# A mistake costs no seconds.


# What training needs and predicting does not.
FOR_TRAINING = {
    "grain",
    "matplotlib",
    "optax",
    "optuna",
    "orbax",
    "sklearn",
    "tensorflow_datasets",
}


def all_modules_of(*arguments):
    """Exit status, and the names of all modules that a command line has imported."""
    ended = subprocess.run(
        [sys.executable, "-c", REPORT_MODULES, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    *_, last = ended.stdout.splitlines()
    mark, *modules = last.split()
    assert mark == "MODULES"
    return ended.returncode, set(modules)


def modules_of(*arguments):
    """Exit status, and the top-level modules."""
    status, modules = all_modules_of(*arguments)
    return status, {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--help",), 0),
        (("--version",), 0),
        (("configs",), 0),
        (("trian",), 2),
        (("train", "--help"), 0),
        (("train", "--learning_rate=-1"), 2),
        (("tune", "--train_file=a.csv", "--space=no_such=1:2", "--workdir=w"), 2),
        (("predict",), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nothing_heavy_is_imported_for_help_and_mistakes(arguments, status):
    returned, modules = modules_of(*arguments)
    assert returned == status
    assert modules & HEAVY == set()


def test_the_report_of_modules_sees_what_is_imported():
    # Were it blind, the test above would say nothing.
    _, modules = modules_of("compare", "a", "b")
    assert {"numpy", "matplotlib"} <= modules


def test_predicting_imports_nothing_of_training():
    status, modules = all_modules_of("predict", "--text=A fine film.")
    assert status == 0
    assert {module.partition(".")[0] for module in modules} & FOR_TRAINING == set()
    parts = {m.split(".")[1] for m in modules if m.startswith("sentiment.")}
    assert parts & {"training", "search", "compression", "baselines"} == set()
    assert {"inference", "models"} <= parts


def run_module(*arguments, **options):
    """Runs `python -m sentiment`, its output buffered as a user's is."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "sentiment", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, **options)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--help",), 1, ""),
        (("train", "--help"), 1, ""),  # more than a buffer holds
        (("configs",), 1, ""),
        (("predict", "--text=a", "--input=b"), 2, "error: Give either --text or"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(
    arguments, status, message
):
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does
    ended = run_module(*arguments, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert ended.returncode == status
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == bool(message)


@pytest.mark.parametrize("stream", [1, 2])
def test_a_stream_that_is_closed_is_no_mistake(stream):
    options = {"capture_output": True, "preexec_fn": lambda: os.close(stream)}
    ended = run_module("configs", **options)
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"{sentiment.__version__}\n"


def test_the_overview_has_a_line_for_each_public_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for name in set(cli.COMMANDS) - {"bundle"}:
        assert f"  {name} " in shown
    assert "bundle" not in shown


def test_a_mistyped_command_is_told_which_was_meant(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["trian"])
    assert stop.value.code == 2
    assert "Did you mean train?" in capsys.readouterr().err

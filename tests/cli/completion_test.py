"""The scripts, run in the shells that they are for."""

import shutil
import subprocess

import pytest

from sentiment.cli import main as cli
from sentiment.cli.completion import completion_script
from sentiment.cli.flagfiles import purposes
from sentiment.config import POOLING_NAMES

# What a shell sets when Tab is pressed at the end of a line.
BASH = """
{script}
COMP_LINE={line!r}
COMP_POINT=${{#COMP_LINE}}
COMP_WORDS=({words})
COMP_CWORD={index}
_sentiment
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(params=["bash", "zsh"])
def shell(request):
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def complete(shell, tmp_path):
    """What a shell offers for a line, whole words in zsh and in bash."""

    def complete(line):
        # bash begins a new word at "=".
        text = line.replace("=", " = ") if shell == "bash" else line
        words = text.split() + ([""] if line.endswith(" ") else [])
        script = completion_script(shell)
        if shell == "zsh":  # as a user's ~/.zshrc does
            script = f"autoload -U +X compinit && compinit -u -D\n{script}"
        program = BASH.format(
            script=script,
            line=line,
            words=" ".join(map(repr, words)),
            index=len(words) - 1,
        )
        done = subprocess.run(
            [shell, "-c", program], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stderr == ""
        offered = done.stdout.split()
        last = line.split(" ")[-1]
        if shell == "bash" and "=" in last:
            offered = [f"{last.partition('=')[0]}={word}" for word in offered]
        return set(offered)

    return complete


def test_commands(complete):
    public = {name for name in cli.COMMANDS if not cli.is_internal(name)}
    assert complete("sentiment ") == public
    assert complete("sentiment pre") == {"predict", "pretrain"}


def test_flags_are_those_of_the_command(complete):
    assert complete("sentiment compare runs/a --") == {
        "--help",
        "--flagfile=",
        "--output=",
        "--overwrite",
        "--nooverwrite",
        "--seed=",
    }
    assert complete("sentiment train --pool") == {"--pooling="}
    assert complete("sentiment predict --pool") == set()


def test_values_of_a_choice(complete):
    found = complete("sentiment train --epochs=2 --pooling=")
    assert found == {f"--pooling={name}" for name in POOLING_NAMES}
    assert complete("sentiment baseline --method=nb") == {"--method=nb_svm"}
    assert complete("sentiment compress --method=int") == {
        "--method=int8",
        "--method=int4",
    }


def test_files_elsewhere(complete, tmp_path):
    (tmp_path / "mine.csv").touch()
    (tmp_path / "other").mkdir()
    assert complete("sentiment train --train_file=mi") == {"--train_file=mine.csv"}
    assert complete("sentiment train --train_file=") == {
        "--train_file=mine.csv",
        "--train_file=other",
    }


def test_flagfiles_that_come_along(complete):
    assert complete("sentiment train --flagfile=configs/imdb_m") == {
        "--flagfile=configs/imdb_mini.cfg"
    }
    assert complete("sentiment configs --copy=") == {
        f"--copy={name}" for name in purposes()
    }

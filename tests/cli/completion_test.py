"""The scripts, run in the shells that they are for."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from sentiment.cli import main as cli
from sentiment.cli.completion import completion_script
from sentiment.cli.flagfiles import purposes
from sentiment.config import POOLING_NAMES

# What bash sets when Tab is pressed at the end of a line.
BASH = """
{script}
COMP_WORDS=({words})
COMP_CWORD={index}
_sentiment
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# Ctrl-X shows what the line has become.
SETTINGS = {
    "bash": """bind -x '"\\C-x": printf "LINE<%s>" "$READLINE_LINE"'""",
    "zsh": """autoload -U compinit && compinit -u -D
        show() { print -rn -- "LINE<$BUFFER>" }
        zle -N show && bindkey '^X' show""",
}
OPTIONS = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}
SECONDS = 300  # until a shell has answered


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, shell, folder):
        self._file, its_end = pty.openpty()
        self._process = subprocess.Popen(
            [shell, *OPTIONS[shell]],
            **dict.fromkeys(("stdin", "stdout", "stderr"), its_end),
            cwd=folder,
            env=os.environ | {"TERM": "dumb"},
            start_new_session=True,
        )
        os.close(its_end)
        self._write(f". ./{shell}.rc; printf 'READ%s' Y\n")
        self._read("READY")

    def press_tab(self, line):
        """What the line becomes."""
        self._write(f"{line}\t\x18")
        completed = self._read("LINE<(.*?)>")
        self._write("\x15")  # deletes the line
        return completed[1]

    def close(self):
        self._write("exit\n")
        self._process.wait(SECONDS)
        os.close(self._file)

    def _write(self, text):
        os.write(self._file, text.encode())

    def _read(self, pattern):
        text, end = "", time.monotonic() + SECONDS
        while not (found := re.search(pattern, text)):
            left = max(0, end - time.monotonic())
            ready, *_ = select.select([self._file], [], [], left)
            assert ready, text
            text += os.read(self._file, 1 << 16).decode(errors="replace")
        return found


@pytest.fixture(scope="module", params=["bash", "zsh"])
def terminal(request, tmp_path_factory):
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path_factory.mktemp(shell)
    (folder / "mine.csv").touch()
    (folder / "my texts").mkdir()
    (folder / "my texts" / "a.csv").touch()
    script = completion_script(shell)
    (folder / f"{shell}.rc").write_text(f"{SETTINGS[shell]}\n{script}")
    terminal = Terminal(shell, folder)
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("sentiment pred", "sentiment predict "),
        ("sentiment pre", "sentiment pre"),  # pretrain, too
        ("sentiment train --pool", "sentiment train --pooling="),
        ("sentiment tune --trials 3 --noover", "...write "),
        ("sentiment predict --pool", "..."),  # is no flag there
        ("sentiment train --pooling=conc", "sentiment train --pooling=concat "),
        ("sentiment train --packing=tr", "sentiment train --packing=true "),
        ("sentiment baseline --method=nb", "sentiment baseline --method=nb_svm "),
        ("sentiment train --flagfile=configs/imdb_m", "...ini.cfg"),
        ("sentiment train --flagfile=mi", "sentiment train --flagfile=mine.csv"),
        ("sentiment configs --copy=quick", "sentiment configs --copy=quickstart "),
        ("sentiment train --train_file=mi", "sentiment train --train_file=mine.csv"),
        ("sentiment train --train_file=my\\ te", "...xts/"),
        ("sentiment train --train_file=my\\ texts/", "...a.csv"),
        ("sentiment train --train_file mi", "sentiment train --train_file mine.csv"),
        ("sentiment compare mi", "sentiment compare mine.csv"),
    ],
)
def test_tab(terminal, line, completed):
    expected = completed.replace("...", line)
    found = terminal.press_tab(line)
    # After a file's name shells differ.
    assert found == expected or (found == f"{expected} " and ".c" in expected)


def offered(line, cwd):
    """All that bash offers for the last word of a line, which it splits at "="."""
    words = line.replace("=", " = ").split() + ([""] if line.endswith(" ") else [])
    program = BASH.format(
        script=completion_script("bash"),
        words=" ".join(map(repr, words)),
        index=len(words) - 1,
    )
    done = subprocess.run(["bash", "-c", program], cwd=cwd, capture_output=True)
    assert done.stderr == b""
    return {word.strip() for word in done.stdout.decode().splitlines()} - {""}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sentiment ", {x for x in cli.COMMANDS if not cli.is_internal(x)}),
        ("sentiment pre", {"predict", "pretrain"}),
        (
            "sentiment compare runs/a --",
            {
                "--help",
                "--flagfile=",
                "--output=",
                "--overwrite",
                "--nooverwrite",
                "--seed=",
            },
        ),
        ("sentiment train --epochs=2 --pooling=", {"auto", *POOLING_NAMES}),
        ("sentiment train --packing=", {"true", "false"}),
        ("sentiment compress --method=int", {"int8", "int4"}),
        ("sentiment train --flagfile=configs/imdb_m", {"configs/imdb_mini.cfg"}),
        ("sentiment configs --copy=", set(purposes())),
        ("sentiment train --train_file=", {"mine.csv", "other texts"}),
        ("sentiment train --train_file=o", {"other texts"}),
    ],
)
def test_bash_offers_these(line, words, tmp_path):
    (tmp_path / "mine.csv").touch()
    (tmp_path / "other texts").mkdir()
    assert offered(line, tmp_path) == words

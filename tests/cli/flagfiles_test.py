import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentiment.cli import flagfiles
from sentiment.cli.flagfiles import (
    configs_folder,
    copy_config,
    flagfile_lines,
    found_flagfile,
)
from sentiment.errors import InputError
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, content):
    if isinstance(content, str):
        content = content.encode()
    Path(path).write_bytes(content)
    return str(path)


def refused(path):
    with pytest.raises(InputError) as error:
        flagfile_lines(path)
    return str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "--epochs=7\n--lowercase\n",
        "# first\n\n  --epochs=7  \n// next\n--lowercase",
        "--epochs=7\r\n--lowercase\r\n",
        "\ufeff--epochs=7\n--lowercase\n",  # as Windows' editor saves it
    ],
)
def test_the_flags_stand_a_line_each(content):
    assert flagfile_lines(write("a.cfg", content)) == ["--epochs=7", "--lowercase"]


def test_a_file_is_utf_8_whatever_the_locale_says():
    path = write("a.cfg", "--label_names=schlecht,schön\n")
    # Python chooses its encoding when it starts.
    code = "import locale, sys; from sentiment.cli.flagfiles import flagfile_lines; "
    code += "print(locale.getencoding(), ascii(flagfile_lines(sys.argv[1])))"
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run(
        [sys.executable, "-c", code, path],
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    encoding, lines = found.stdout.split(" ", 1)
    assert encoding != "UTF-8"
    assert lines == "['--label_names=schlecht,sch\\xf6n']\n"
    message = refused(write("b.cfg", "--label_names=schön".encode("latin-1")))
    assert "b.cfg must be UTF-8 text" in message


def test_a_file_named_in_another_stands_in_its_place():
    write("b.cfg", "--seed=2\n")
    path = write("a.cfg", "--seed=1\n--flagfile=b.cfg\n-flagfile=b.cfg\n--seed=3\n")
    found = flagfile_lines(path)
    assert found == ["--seed=1", "--seed=2", "--seed=2", "--seed=3"]


def test_a_file_that_names_itself_is_refused():
    write("b.cfg", "--flagfile=a.cfg\n")
    message = refused(write("a.cfg", "--flagfile=b.cfg\n"))
    assert message == "The flagfile a.cfg names itself (named in b.cfg)."


@pytest.mark.parametrize(
    "path", ["", " ", "none.cfg", "a" * 300, "configs/" + "a" * 300, "a\0b", "."]
)
def test_what_cannot_be_read_is_named_with_who_named_it(path):
    assert path.strip() in refused(path)
    write("outer.cfg", f"--flagfile={path}\n")
    assert "named in outer.cfg" in refused("outer.cfg")


@pytest.mark.parametrize("path", ["configs/imdb", "imdb.cfg", "configs/imbd.cfg"])
def test_the_one_that_was_meant_is_offered(path):
    assert "Did you mean configs/imdb.cfg?" in refused(path)


def test_configs_come_along_unless_one_is_here(elsewhere):
    packaged = str(configs_folder() / "imdb.cfg")
    assert found_flagfile("configs/imdb.cfg") == packaged
    (elsewhere / "configs").mkdir()
    write("configs/imdb.cfg", "--seed=1\n")
    assert found_flagfile("configs/imdb.cfg") == "configs/imdb.cfg"
    assert found_flagfile("configs/none.cfg") == "configs/none.cfg"


@pytest.mark.parametrize("name", ["imdb", "imdb.cfg", "configs/imdb.cfg"])
def test_a_copy_is_made_once(name):
    assert copy_config(name) == "imdb.cfg"
    assert flagfile_lines("imdb.cfg") == flagfile_lines("configs/imdb.cfg")
    with pytest.raises(InputError, match=r"imdb\.cfg exists"):
        copy_config(name)


def test_a_copy_that_cannot_be_finished_leaves_nothing(monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            raise OSError(28, "No space left on device")

        def write(self, _):
            pass

    def open_full(path, *_, **__):
        os.close(os.open(path, os.O_CREAT))
        return Full()

    monkeypatch.setattr(flagfiles, "open", open_full, raising=False)
    with pytest.raises(InputError, match=r"mine\.cfg cannot.*No space"):
        copy_config("imdb", "mine.cfg")
    assert not os.path.exists("mine.cfg")


def test_what_would_be_waited_for_is_no_flagfile(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        assert f"{path} is no file" in refused(path)


def test_a_pipe_of_the_shell_is_read():
    read, write = os.pipe()
    os.write(write, b"--epochs=7\n")
    os.close(write)
    assert flagfile_lines(f"/dev/fd/{read}") == ["--epochs=7"]
    os.close(read)

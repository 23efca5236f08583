"""What a user has after installing the wheel, with no checkout around."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from sentiment.cli import main as cli
from tests.conftest import ROOT

PARTS = ("sentiment", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package's wheel, built from a copy: building leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = ROOT / part
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, source / part, ignore=ignored)
        else:
            shutil.copy(path, source)
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    pip("wheel", *options, source, "--wheel-dir", folder)
    (wheel,) = folder.iterdir()
    return wheel


@pytest.fixture(scope="module")
def sentiment(wheel, tmp_path_factory):
    """Runs the installed command from `/`; it borrows this environment's packages."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    paths = {"base": str(folder), "platbase": str(folder)}
    site = sysconfig.get_path("purelib", "venv", paths)
    with open(os.path.join(site, "borrowed.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib"))
    pip("--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)

    def run(*arguments, cwd="/"):
        environment = dict(os.environ)
        for name in ("KERAS_BACKEND", "PYTHONPATH"):
            environment.pop(name, None)
        command = [str(folder / "bin" / "sentiment"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True
        )

    return run


def test_an_installed_package_answers(sentiment):
    result = sentiment("predict", "--text=A moving film, beautifully acted.")
    assert result.returncode == 0, result.stderr
    assert "positive" in result.stdout
    # Not even a warning of a library.
    assert not re.search("Warning|Traceback", result.stderr)


def test_flagfiles_come_along(sentiment, tmp_path):
    listed = sentiment("configs").stdout
    for path in (ROOT / "configs").glob("*.cfg"):
        assert f"\n{path.stem} " in f"\n{listed}"
    copied = sentiment("configs", "--copy=imdb", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "imdb.cfg").read_text() == (
        ROOT / "configs" / "imdb.cfg"
    ).read_text()


def test_a_packaged_flagfile_is_read_from_anywhere(sentiment):
    # It gets as far as the mistake behind it.
    result = sentiment("train", "--flagfile=configs/imdb.cfg", "--epochs=0")
    assert result.returncode == 2
    assert "--epochs must be >= 1 and <= 10000. Received: 0." in result.stderr
    missing = sentiment("train", "--flagfile=configs/none.cfg")
    assert missing.returncode == 2
    assert "configs/none.cfg" in missing.stderr


def test_every_command_is_there(sentiment):
    shown = sentiment("--help").stdout
    assert all(f"  {name} " in shown for name in cli.COMMANDS if name != "bundle")


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    import zipfile

    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.partition("/")[0] for name in names} == {
        "sentiment",
        next(name for name in names if name.endswith("/WHEEL")).partition("/")[0],
    }
    assert "sentiment/py.typed" in names
    present = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sentiment").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present <= set(names)
    assert wheel.stat().st_size < 25e6

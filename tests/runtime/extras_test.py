import tomllib

import pytest

from sentiment.runtime import extras
from sentiment.runtime.extras import how_to_install, pyproject
from tests.conftest import ROOT


@pytest.fixture
def installed(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)


def test_a_checkout_installs_the_pinned_list():
    assert pyproject() == ROOT / "pyproject.toml"
    command = how_to_install("train")
    assert command == "pip install --no-deps -r requirements.txt"
    assert (ROOT / command.split()[-1]).is_file()


def test_elsewhere_the_extra_is_named(installed):
    assert pyproject() is None
    assert how_to_install("tune") == 'pip install "sentiment[tune]"'
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "sentiment" and "tune" in project["optional-dependencies"]

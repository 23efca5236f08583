import dataclasses
import importlib.metadata
import re
from types import SimpleNamespace

import pytest

from sentiment import diagnosis
from sentiment.cli import main as cli
from sentiment.config import DoctorCommand
from sentiment.diagnosis import Finding, diagnose, verdict
from tests.conftest import call_fresh

REQUIREMENTS = ["numpy>=2.0", "jax>=0.10.2,<0.12"]


@pytest.fixture
def find(tmp_path, monkeypatch):
    """The findings by name, on a machine with network."""
    monkeypatch.setattr(diagnosis, "has_network", lambda host, timeout: True)

    def find(requirements=REQUIREMENTS, **settings):
        command = dataclasses.replace(DoctorCommand(workdir=str(tmp_path)), **settings)
        findings = list(diagnose(command, requirements))
        return {finding.name: finding for finding in findings}

    return find


@pytest.fixture
def quick(monkeypatch):
    """Leaves out the train step."""
    monkeypatch.setattr(diagnosis, "_train_step", lambda: ("ok", ""))


def test_a_machine_that_is_set_up_is_ready(find):
    findings = find()
    states = {name: finding.state for name, finding in findings.items()}
    assert states.pop("data") == "note"  # No folder was given.
    assert set(states.values()) == {"ok"}, findings
    assert "(cpu)" in findings["device"].text
    assert verdict(list(findings.values())) == (True, "ready")


def test_real_data_are_found(find, quick, shared_data):
    folder = str(shared_data / "tfds")
    assert find(tfds_data_dir=folder)["data"].state == "ok"
    other = find(tfds_data_dir=folder, dataset="glue/cola")["data"]
    assert other.state == "fault"


@pytest.mark.parametrize(
    ("requirement", "text"),
    [("numpy>=99", "numpy is .*wanted >=99"), ("no-such-thing>=1", "is missing")],
)
def test_wrong_versions_are_a_fault(find, quick, requirement, text):
    finding = find([*REQUIREMENTS, requirement])["packages"]
    assert finding.state == "fault"
    assert re.search(text, finding.text)
    assert finding.text.endswith("pip install --no-deps -r requirements.txt")


def test_without_a_checkout_packages_come_with_an_extra(
    find, quick, monkeypatch, tmp_path
):
    monkeypatch.setattr("sentiment.runtime.extras.CHECKOUT", tmp_path)
    finding = find(["no-such-thing>=1"])["packages"]
    assert finding.text.endswith('Mend it: pip install "sentiment[train]"')


def test_no_network_is_a_note_that_names_the_way_round(find, quick, monkeypatch):
    monkeypatch.setattr(diagnosis, "has_network", lambda host, timeout: False)
    finding = find()["network"]
    assert finding.state == "note"
    assert "huggingface.co" in finding.text
    assert "--preset=imdb_mini" in finding.text


def test_a_missing_data_folder_is_a_fault(find, quick, tmp_path):
    finding = find(tfds_data_dir=str(tmp_path / "none"))["data"]
    assert (finding.state, "is no folder" in finding.text) == ("fault", True)


def test_a_workdir_that_cannot_be_made_is_a_fault(find, quick, tmp_path):
    (tmp_path / "file").touch()
    finding = find(workdir=str(tmp_path / "file" / "run"))["write access"]
    assert finding.state == "fault"


def test_an_idle_accelerator_is_a_fault(find, quick, monkeypatch):
    monkeypatch.setattr("sentiment.runtime.memory.has_accelerator", lambda: True)
    assert find()["device"].state == "fault"


def test_weights_that_do_not_move_are_a_fault(monkeypatch):
    still = SimpleNamespace(get_weights=lambda: [], fit=lambda *_, **__: None)
    monkeypatch.setattr("sentiment.inference.loading.load_classifier", lambda _: still)
    assert diagnosis._train_step() == ("fault", "the weights did not change")


def test_what_breaks_while_looking_is_a_fault_and_the_rest_is_seen(find, monkeypatch):
    def broken():
        raise RuntimeError("no such device")

    monkeypatch.setattr(diagnosis, "_train_step", broken)
    findings = find()
    assert findings["train step"] == Finding(
        "train step", "fault", "RuntimeError: no such device"
    )
    assert verdict(list(findings.values())) == (False, "not ready: train step")


def test_the_command_says_so(tmp_path):
    printed = call_fresh(cli.main, ["doctor", f"--workdir={tmp_path}"])
    assert printed.splitlines()[-1] == "ready"
    assert importlib.metadata.version("jax") in printed

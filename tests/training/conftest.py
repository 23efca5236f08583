"""What the tests of training share: tiny settings and reviews."""

import csv
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from sentiment.config import DataConfig
from sentiment.data.pipeline import BatchPlan, NextTokenPlan
from sentiment.training import resumable_run
from tests.conftest import ROOT, Stop

WORDS = {"bad": ["Awful", "dull", "boring!"], "good": ["Lovely", "great", "superb!"]}
MODEL = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "vocabulary_size": 300,
    "max_positions": 32,
    "sequence_length": 12,
    "pooling": "mean",
}
# So many updates of so high a rate that the best epoch is an early one.
TRAINING = {
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "epochs": 10,
    "learning_rate": 0.03,
}


@pytest.fixture(scope="session")
def write_reviews():
    """Writes a CSV, half of it of each class; a quarter sounds like the other."""

    def write(path, count, seed):
        rng = np.random.default_rng(seed)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for i in range(count):
                label = ("bad", "good")[i % 2]
                words = WORDS[label if rng.random() > 0.25 else ("good", "bad")[i % 2]]
                length = rng.integers(2, 12)
                text = " ".join(rng.choice([*words, "the", "film", "a"], length))
                writer.writerow([f"<b>{text}</b>", label])
        return str(path)

    return write


@pytest.fixture(scope="session")
def write_data(write_reviews):
    """Writes reviews to train and test on."""

    def write(folder, num_train, num_test):
        return DataConfig(
            train_file=write_reviews(folder / "train.csv", num_train, seed=0),
            test_file=write_reviews(folder / "test.csv", num_test, seed=1),
            validation_fraction=0.3,
        )

    return write


def run_process(*arguments):
    """Runs Python in a fresh process that finds the package."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def command_of(config, workdir):
    """The flags that run `config` in `workdir`."""
    flagfile = workdir.with_suffix(".cfg")
    flagfile.write_text(config.to_flagfile())
    return f"--flagfile={flagfile}", f"--workdir={workdir}"


# --- Interruptions


@pytest.fixture
def at_update(monkeypatch):
    """Calls a function with the saver before it sees that so many updates are made."""

    def arrange(updates, act):
        original = resumable_run._Saver.on_train_batch_end

        def acting(self, batch, logs=None):
            if self.done_after(batch) == updates:
                act(self)
            original(self, batch, logs)

        monkeypatch.setattr(resumable_run._Saver, "on_train_batch_end", acting)

    return arrange


@pytest.fixture
def terminate_at(at_update):
    """Sends SIGTERM to this process when so many updates are made."""

    def arrange(updates):
        at_update(updates, lambda saver: os.kill(os.getpid(), signal.SIGTERM))

    return arrange


@pytest.fixture
def fast_clock(monkeypatch):
    """Lets a run take a million times as long, as far as it can tell."""
    now = resumable_run.time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: 1e6 * now())

    monkeypatch.setattr(resumable_run, "time", Clock)


# Runs a script; when so many updates are made, no file may grow beyond a KiB any more.
FULL_DISK = """
    import resource, sys
    from sentiment.cli.main import main
    from sentiment.training import resumable_run

    name, moment = sys.argv[1], int(sys.argv[2])
    saver = resumable_run._Saver
    end = saver.on_train_batch_end

    def filling(self, batch, logs=None):
        if self.done_after(batch) == moment:
            self.run.checkpoints.wait()
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        end(self, batch, logs)

    saver.on_train_batch_end = filling
    main([name, *sys.argv[3:]])
"""


@pytest.fixture
def fill_disk():
    """Runs a script whose disk is full after so many updates; checks how it ends."""

    def run(script, updates, config, workdir, last):
        program = textwrap.dedent(FULL_DISK)
        command = command_of(config, workdir)
        ended = run_process("-c", program, script, updates, *command)
        assert ended.returncode == 2, ended.stderr
        message = ended.stderr[ended.stderr.index("error: A checkpoint in") :]
        assert "could not be written" in message
        assert "The one before is whole. Make room and start the same" in message
        assert not (workdir / "metrics.json").exists()
        names = [path.name for path in (workdir / "checkpoints").iterdir()]
        assert max(int(name) for name in names if name.isdigit()) == last
        # The half-written one is there, too.
        assert any("tmp" in name for name in names), names

    return run


@pytest.fixture
def refused_beside(at_update):
    """Starts a script in the workdir of a run that has begun to train."""

    def run(script, config, workdir, train):
        ended = []

        def start_second(_):
            path = ROOT / "scripts" / f"{script}.py"
            ended.append(run_process(path, *command_of(config, workdir)))
            raise Stop

        at_update(2, start_second)
        with pytest.raises(Stop):
            train(config, workdir)
        assert ended[0].returncode == 2, ended[0].stderr
        assert "Another process works in" in ended[0].stderr

    return run


# --- Divergence


@pytest.fixture
def poison(monkeypatch):
    """Multiplies the loss of one update's batch, or of all from it on."""

    def arrange(update, factor=np.nan, forever=False):
        original = resumable_run._SkippingRows.__getitem__

        class Poisoned(list):
            pass

        def getitem(self, index):
            rows = original(self, index)
            is_bad = index >= update if forever else index == update
            return Poisoned(rows) if is_bad and rows else rows

        def poisoning(plan_batch):
            def batch(self, rows):
                x, y, weights = plan_batch(self, rows)
                is_bad = isinstance(rows, Poisoned)
                return x, y, weights * np.float32(factor if is_bad else 1)

            return batch

        monkeypatch.setattr(resumable_run._SkippingRows, "__getitem__", getitem)
        for plan in (BatchPlan, NextTokenPlan):
            monkeypatch.setattr(plan, "batch", poisoning(plan.batch))

    return arrange

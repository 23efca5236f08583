"""What the tests of training share: tiny settings and reviews."""

import csv
import functools
import os
import resource
import signal

import keras
import numpy as np
import pytest

from sentiment.cli import main
from sentiment.config import DataConfig
from sentiment.data.pipeline import BatchPlan, NextTokenPlan
from sentiment.training import pretrain, resumable_run, run_state, train
from sentiment.training.checkpoints import Checkpoints
from tests.conftest import FreshProcess, Stop, at_update, wait_for

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


def command_of(config, workdir):
    """The flags that run `config` in `workdir`."""
    flagfile = workdir.with_suffix(".cfg")
    flagfile.write_text(config.to_flagfile())
    return f"--flagfile={flagfile}", f"--workdir={workdir}"


# --- Interruptions


@pytest.fixture
def fast_clock(monkeypatch):
    """Lets a run take a million times as long, as far as it can tell."""
    now = run_state.time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: 1e6 * now())

    monkeypatch.setattr(run_state, "time", Clock)


def dying_at(updates, kind):
    """An `on_update` that ends the process by SIGKILL, at an update or after it.

    That is in a checkpoint that has begun to be written ("save"), or in a validation.
    """

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def on_update(done):
        if done < updates:
            return
        if kind == "update":
            die()
        elif kind == "validation":
            keras.callbacks.CallbackList.on_test_begin = die
        else:
            save = Checkpoints.save

            def save_and_die(*arguments):
                save(*arguments)
                die()

            Checkpoints.save = save_and_die

    return on_update


def run_with_full_disk(command, updates, checkpoint, arguments):
    """Runs a command; after so many updates no file may grow beyond a KiB any more.

    Args:
        command: its name.
        updates: so many.
        checkpoint: folder of one that is whole then.
        arguments: of the command.
    """

    def fill():
        wait_for(checkpoint)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    module, name = {
        "train": (train, "train_and_evaluate"),
        "pretrain": (pretrain, "pretrain"),
    }[command]
    run = functools.partial(getattr(module, name), on_update=at_update(updates, fill))
    setattr(module, name, run)
    main.main([command, *arguments])


@pytest.fixture
def fill_disk():
    """Runs a command whose disk is full after so many updates; checks how it ends."""

    def run(command, updates, config, workdir, last):
        process = FreshProcess(
            run_with_full_disk,
            command,
            updates,
            workdir / "checkpoints" / str(last),
            command_of(config, workdir),
        )
        printed = process.wait()
        assert process.status == 2, printed
        message = printed[printed.index("error: A checkpoint in") :]
        assert "could not be written" in message
        assert "The one before is whole. Make room and start the same" in message
        assert not (workdir / "metrics.json").exists()
        names = [path.name for path in (workdir / "checkpoints").iterdir()]
        assert max(int(name) for name in names if name.isdigit()) == last
        # The half-written one is there, too.
        assert any("tmp" in name for name in names), names

    return run


@pytest.fixture
def refused_beside():
    """Runs a command in the workdir of a run that has begun to train."""

    def run(command, config, workdir, train):
        def start_second():
            arguments = command_of(config, workdir)
            second = FreshProcess(main.main, [command, *arguments])
            printed = second.wait()
            assert second.status == 2, printed
            assert "Another process works in" in printed
            raise Stop

        with pytest.raises(Stop):
            train(config, workdir, on_update=at_update(2, start_second))

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

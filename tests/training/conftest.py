"""What the tests of training share: tiny settings and reviews."""

import csv

import numpy as np
import pytest

from sentiment.training import resumable_run

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


class Stop(Exception):
    """Raised where a test stops a run."""


@pytest.fixture
def stop_at(monkeypatch):
    """Lets a run stop after so many updates, once."""

    def arrange(updates):
        original = resumable_run._Saver.on_train_batch_end

        def stopping(self, batch, logs=None):
            done = self.done_after(batch)
            original(self, batch, logs)
            if done == updates:
                self.run.checkpoints.wait()
                monkeypatch.undo()
                raise Stop

        monkeypatch.setattr(resumable_run._Saver, "on_train_batch_end", stopping)

    return arrange

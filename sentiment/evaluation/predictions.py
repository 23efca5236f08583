"""The test predictions that a run leaves, so that runs can be compared."""

import csv
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentiment.errors import InputError
from sentiment.runs.files import PREDICTIONS_FILE

_KEY_BYTES = 8
_FIXED = ("text_key", "label")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model made of labelled texts.

    Attributes:
        keys: N strings, equal for equal texts.
        labels: int (N,), true classes.
        probabilities: float (N, num_classes).
        label_names: the classes by index.
    """

    keys: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    label_names: tuple[str, ...]

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """Int (N,), the most likely classes."""
        return self.probabilities.argmax(axis=1)

    @property
    def is_correct(self) -> np.ndarray:
        """Bool (N,), whether the most likely class is the true one."""
        return self.predicted == self.labels


def text_keys(texts: Sequence[str]) -> list[str]:
    """A short hash of each text."""
    return [
        hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES
        ).hexdigest()
        for text in texts
    ]


def write_predictions(predictions: Predictions, path: Path):
    """Writes one line per text: key, true class, probability of each class."""
    names = predictions.label_names
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_FIXED, *names])
        for key, label, row in zip(
            predictions.keys, predictions.labels, predictions.probabilities, strict=True
        ):
            writer.writerow([key, names[label], *(f"{p:.6g}" for p in row)])


def read_predictions(path: str | Path) -> Predictions:
    """Reads what `write_predictions` wrote.

    Args:
        path: the file, or the workdir that holds it.

    Raises:
        InputError: it is not there, or is none.
    """
    path = Path(path)
    if path.is_dir():
        path = path / PREDICTIONS_FILE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        names = tuple(header[len(_FIXED) :])
        if tuple(header[: len(_FIXED)]) != _FIXED or not rows:
            raise ValueError("not a file of predictions")
        probabilities = np.array([row[len(_FIXED) :] for row in rows], float)
        if not np.isfinite(probabilities).all():
            raise ValueError("some probabilities are no numbers")
        labels = np.array([names.index(row[1]) for row in rows])
        return Predictions([row[0] for row in rows], labels, probabilities, names)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error}. Give the workdir of a run that had test "
            "data."
        ) from error
    except (ValueError, IndexError, csv.Error) as error:
        raise InputError(f"{path} holds no predictions: {error}.") from error


def shortest_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path by its last parts, as many as tell all of them apart.

    >>> shortest_names(["runs/a", "runs/b"])
    {'a': 'runs/a', 'b': 'runs/b'}
    """
    parts = [Path(path).parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*part[-count:])) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    return {path: path for path in paths}

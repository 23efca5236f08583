"""The folder that a run leaves behind."""

import contextlib
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import filelock

from sentiment.config import ADAPTER_FILE, MODEL_FILE, PRESET_FOLDER, RunConfig
from sentiment.errors import InputError, StorageError
from sentiment.evaluation import plots
from sentiment.evaluation.predictions import (
    PREDICTIONS_FILE,
    Predictions,
    write_predictions,
)

METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.cfg"
DATA_CONFIG_FILE = "data.cfg"
PLOTS_FOLDER = "plots"
STAGING_FOLDER = "unfinished"
CHECKPOINTS_FOLDER = "checkpoints"
LOCK_FILE = ".lock"


class InUse(InputError):
    """Another process works in a folder."""


class Workdir:
    """Writes a run's results: all of them appear, or none.

    Everything is written to the folder `unfinished` first, and moves to its
    place when it is whole. So a run that is stopped, or finds the disk full,
    leaves an older one as it was, and what it had trained in `unfinished`.
    Until then `checkpoints` holds what the same command goes on from.

    Attributes:
        results: names of what a finished run leaves, metrics last.
    """

    results: tuple[str, ...] = (METRICS_FILE,)

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.staging = self.path / STAGING_FOLDER
        self.checkpoints = self.path / CHECKPOINTS_FOLDER

    @property
    def is_begun(self) -> bool:
        """Whether there are checkpoints that a run may go on from."""
        return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    def prepare(self, overwrite: bool):
        """Makes the folder and checks, before any work, that it can be used.

        With `overwrite`, what is there stays until the new run is finished. Where there
        are checkpoints beside it, an overwriting run was interrupted and may go on.

        Raises:
            InputError: the folder holds a finished run, or files that a run
                would replace, and not `overwrite`; or it cannot be written to.
        """
        try:
            present = [name for name in self.results if (self.path / name).exists()]
            overwrite = overwrite or self.is_begun
            if not overwrite and METRICS_FILE in present:
                raise InputError(
                    f"The workdir {self.path} already holds a finished run. Give "
                    "another --workdir, or --overwrite to replace it."
                )
            if not overwrite and present:
                raise InputError(
                    f"The workdir {self.path} holds {', '.join(present)}, which the "
                    "run would replace. Give another --workdir, or --overwrite."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise InputError(
                f"The workdir {self.path} cannot be written to: {error}"
            ) from error

    @contextlib.contextmanager
    def in_use(self, overwrite: bool):
        """Prepares the folder and keeps other processes out while this holds.

        Raises:
            InUse: another process works in it.
            InputError: see `prepare`; or it cannot be locked.
        """
        self.prepare(overwrite)  # makes the folder
        with self.locked():
            self.prepare(overwrite)  # Another may have finished in between.
            if overwrite:
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            yield self

    @contextlib.contextmanager
    def locked(self, timeout: float = 0):
        """Keeps other processes out while this holds; the folder must exist.

        Args:
            timeout: seconds to wait for another process.

        Raises:
            InUse: another process works in the folder.
            InputError: it cannot be locked.
        """
        lock = filelock.FileLock(self.path / LOCK_FILE)
        try:
            lock.acquire(timeout=timeout)
        except filelock.Timeout:
            raise InUse(
                f"Another process works in {self.path}. Wait for it, or give another "
                "--workdir."
            ) from None
        except (OSError, NotImplementedError) as error:  # some network file systems
            raise InputError(
                f"The workdir {self.path} cannot be locked: {error}. Give a --workdir "
                "on a local disk."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def clear_staging(self):
        """Begins anew in the folder `unfinished`."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()

    def write_config_and_metrics(self, config, metrics: dict):
        """Writes what every run leaves: its flagfile and its `metrics.json`.

        Args:
            config: a run's config, with `to_flagfile`.
            metrics: what JSON can hold.
        """
        texts = {
            CONFIG_FILE: config.to_flagfile(),
            METRICS_FILE: json.dumps(metrics, indent=2) + "\n",
        }
        for name, text in texts.items():
            (self.staging / name).write_text(text, encoding="utf-8")

    def publish(self):
        """Moves what was written to its place."""
        # Metrics go first and come last: where they stand, the run is whole.
        (self.path / METRICS_FILE).unlink(missing_ok=True)
        for name in self.results:
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            elif target.exists():
                target.unlink()
            if (self.staging / name).exists():  # Some runs have no test.
                os.replace(self.staging / name, target)
        self.staging.rmdir()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self):
        """Around what writes: a full disk becomes an `InputError`."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"The results cannot be written: {error}. Make room; what could be "
                f"written is in {self.staging}."
            ) from error


class TrainingWorkdir(Workdir):
    """The results of a training run."""

    results = (
        MODEL_FILE,
        PRESET_FOLDER,
        ADAPTER_FILE,
        CONFIG_FILE,
        DATA_CONFIG_FILE,
        HISTORY_FILE,
        PLOTS_FOLDER,
        PREDICTIONS_FILE,
        METRICS_FILE,
    )

    def save_classifier(self, classifier, save_adapter=None):
        """Saves `model.keras` and `preset/` to `unfinished`.

        Args:
            classifier: without adapters.
            save_adapter: where it had some, writes them to a path.

        Raises:
            InputError: they cannot be written, as on a full disk.
        """
        with self.writing():
            self.clear_staging()
            if save_adapter:
                save_adapter(self.staging / ADAPTER_FILE)
            classifier.save(self.staging / MODEL_FILE)
            classifier.save_to_preset(self.staging / PRESET_FOLDER)

    def save_results(
        self,
        config: RunConfig,
        metrics: dict,
        history: dict[str, list[float]],
        evaluations: dict,
        best_epoch: int,
        predictions: Predictions | None,
    ):
        """Saves config, history, plots and metrics, and moves all to its place.

        Args:
            config: the run's settings.
            metrics: what `metrics.json` is to hold.
            history: what `history.csv` is to hold.
            evaluations: `validation` and `test`, which may be `None`.
            best_epoch: marked in the plots.
            predictions: of the test texts, if there are any.

        Raises:
            InputError: they cannot be written, as on a full disk.
        """
        with self.writing():
            self.write_config_and_metrics(config, metrics)
            data_config = config.to_data_flagfile()
            (self.staging / DATA_CONFIG_FILE).write_text(data_config, encoding="utf-8")
            write_history(history, self.staging / HISTORY_FILE)
            _draw_plots(history, evaluations, best_epoch, self.staging / PLOTS_FOLDER)
            if predictions is not None:
                write_predictions(predictions, self.staging / PREDICTIONS_FILE)
            self.publish()


def changed_flags(folder: Path, config, ignored: Sequence[str]) -> list[str]:
    """Lines of a config's flagfile that a finished run in `folder` had otherwise.

    Args:
        folder: of the run.
        config: with `to_flagfile`.
        ignored: names of settings that may differ.
    """
    then = (folder / CONFIG_FILE).read_text(encoding="utf-8").splitlines()
    return [
        line
        for line in sorted(set(config.to_flagfile().splitlines()) - set(then))
        if line.removeprefix("--").split("=")[0] not in ignored
    ]


def write_history(history: dict[str, list[float]], path: Path):
    """Writes a history as CSV, one line per epoch."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(history)
        writer.writerows(zip(*history.values(), strict=True))


def _draw_plots(history, evaluations, best_epoch, folder: Path):
    folder.mkdir()
    plots.plot_learning_curves(history, best_epoch, folder / "learning_curves.png")
    draw_evaluation_plots(evaluations, folder)


def draw_evaluation_plots(evaluations, folder: Path):
    """Draws confusion matrix and reliability of the test, or of the validation."""
    shown = evaluations["test"] or evaluations["validation"]
    label_names = list(shown.metrics["per_class"])
    plots.plot_confusion_matrix(
        shown.metrics["confusion_matrix"], label_names, folder / "confusion_matrix.png"
    )
    plots.plot_reliability(
        shown.reliability,
        shown.metrics["expected_calibration_error"],
        folder / "reliability.png",
    )

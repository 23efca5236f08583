"""The folder that a run leaves behind."""

import csv
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from sentiment.config import RunConfig
from sentiment.errors import InputError
from sentiment.evaluation import plots

MODEL_FILE = "model.keras"
PRESET_FOLDER = "preset"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.cfg"
PLOTS_FOLDER = "plots"


class Workdir:
    """Writes a run's results, each file whole or not at all.

    `metrics.json` is written last: where it stands, the run is finished.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def prepare(self, overwrite: bool):
        """Makes the folder and checks, before any work, that it can be used.

        With `overwrite`, a finished run stays until its files are replaced.

        Raises:
            InputError: the folder holds a finished run and not `overwrite`, or
                it cannot be written to.
        """
        if (self.path / METRICS_FILE).exists() and not overwrite:
            raise InputError(
                f"The workdir {self.path} already holds a finished run. Give another "
                "--workdir, or --overwrite to replace it."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise InputError(
                f"The workdir {self.path} cannot be written to: {error}"
            ) from error

    def save_classifier(self, classifier):
        """Saves `model.keras` and `preset/`; a replaced run is none any more."""
        (self.path / METRICS_FILE).unlink(missing_ok=True)
        self._replace(MODEL_FILE, classifier.save)
        self._replace(PRESET_FOLDER, classifier.save_to_preset)

    def save_results(
        self,
        config: RunConfig,
        metrics: dict,
        history: dict[str, list[float]],
        evaluations: dict,
        best_epoch: int,
    ):
        """Saves config, history, plots and, last, metrics."""
        self._replace_text(CONFIG_FILE, config.to_flagfile())
        self._replace(HISTORY_FILE, lambda path: _write_history(history, path))
        self._replace(
            PLOTS_FOLDER,
            lambda path: _draw_plots(history, evaluations, best_epoch, path),
        )
        self._replace_text(METRICS_FILE, json.dumps(metrics, indent=2) + "\n")

    def _replace_text(self, name: str, text: str):
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def _replace(self, name: str, write: Callable[[Path], object]):
        """Writes to a temporary place beside the target, then renames."""
        target = self.path / name
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".writing-") as folder:
            fresh = Path(folder) / name
            write(fresh)
            if target.is_dir():
                os.replace(target, Path(folder) / "replaced")
            os.replace(fresh, target)


def _write_history(history: dict[str, list[float]], path: Path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(history)
        writer.writerows(zip(*history.values(), strict=True))


def _draw_plots(history, evaluations, best_epoch, folder: Path):
    folder.mkdir()
    plots.plot_learning_curves(history, best_epoch, folder / "learning_curves.png")
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

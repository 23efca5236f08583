"""The folder that a run leaves behind."""

import contextlib
import csv
import json
import os
import shutil
import tempfile
from pathlib import Path

from sentiment.config import MODEL_FILE, RunConfig
from sentiment.errors import InputError
from sentiment.evaluation import plots

PRESET_FOLDER = "preset"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.cfg"
DATA_CONFIG_FILE = "data.cfg"
PLOTS_FOLDER = "plots"
STAGING_FOLDER = "unfinished"
RESULTS = (
    MODEL_FILE,
    PRESET_FOLDER,
    CONFIG_FILE,
    DATA_CONFIG_FILE,
    HISTORY_FILE,
    PLOTS_FOLDER,
    METRICS_FILE,  # last
)


class Workdir:
    """Writes a run's results: all of them appear, or none.

    Everything is written to the folder `unfinished` first, and moves to its
    place when it is whole. So a run that is stopped, or finds the disk full,
    leaves an older one as it was, and what it had trained in `unfinished`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.staging = self.path / STAGING_FOLDER

    def prepare(self, overwrite: bool):
        """Makes the folder and checks, before any work, that it can be used.

        With `overwrite`, what is there stays until the new run is finished.

        Raises:
            InputError: the folder holds a finished run, or files that a run
                would replace, and not `overwrite`; or it cannot be written to.
        """
        try:
            present = [name for name in RESULTS if (self.path / name).exists()]
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

    def save_classifier(self, classifier):
        """Saves `model.keras` and `preset/` to `unfinished`.

        Raises:
            InputError: they cannot be written, as on a full disk.
        """
        with self._writing():
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir()
            classifier.save(self.staging / MODEL_FILE)
            classifier.save_to_preset(self.staging / PRESET_FOLDER)

    def save_results(
        self,
        config: RunConfig,
        metrics: dict,
        history: dict[str, list[float]],
        evaluations: dict,
        best_epoch: int,
    ):
        """Saves config, history, plots and metrics, and moves all to its place.

        Raises:
            InputError: they cannot be written, as on a full disk.
        """
        texts = {
            CONFIG_FILE: config.to_flagfile(),
            DATA_CONFIG_FILE: config.to_data_flagfile(),
            METRICS_FILE: json.dumps(metrics, indent=2) + "\n",
        }
        with self._writing():
            for name, text in texts.items():
                (self.staging / name).write_text(text, encoding="utf-8")
            _write_history(history, self.staging / HISTORY_FILE)
            _draw_plots(history, evaluations, best_epoch, self.staging / PLOTS_FOLDER)
            self._publish()

    def _publish(self):
        # Metrics go first and come last: where they stand, the run is whole.
        (self.path / METRICS_FILE).unlink(missing_ok=True)
        for name in RESULTS:
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(self.staging / name, target)
        self.staging.rmdir()

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise InputError(
                f"The results cannot be written: {error}. Make room; what could be "
                f"written is in {self.staging}."
            ) from error


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

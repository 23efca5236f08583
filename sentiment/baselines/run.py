"""A classical baseline, from data to metrics."""

import dataclasses
import time
from pathlib import Path

from sentiment.baselines.classical import fit_baseline
from sentiment.config import BaselineRunConfig
from sentiment.data.datasets import load_splits
from sentiment.data.examples import Examples
from sentiment.evaluation.evaluate import Evaluation, scores_of
from sentiment.evaluation.plots import draw_evaluation_plots
from sentiment.evaluation.predictions import write_predictions
from sentiment.runs.files import (
    CONFIG_FILE,
    METRICS_FILE,
    PLOTS_FOLDER,
    PREDICTIONS_FILE,
)
from sentiment.runs.versions import versions
from sentiment.runs.workdir import Workdir


class BaselineWorkdir(Workdir):
    """The results of a baseline."""

    results = (CONFIG_FILE, PLOTS_FOLDER, PREDICTIONS_FILE, METRICS_FILE)

    def save(self, config, metrics, evaluations, predictions):
        """Saves everything and moves it to its place.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        with self.writing():
            self.clear_staging()
            (self.staging / PLOTS_FOLDER).mkdir()
            self.write_config_and_metrics(config, metrics)
            draw_evaluation_plots(evaluations, self.staging / PLOTS_FOLDER)
            if predictions is not None:
                write_predictions(predictions, self.staging / PREDICTIONS_FILE)
            self.publish()


def run_baseline(
    config: BaselineRunConfig, workdir: str | Path, overwrite: bool = False
) -> dict:
    """Fits a classical classifier, evaluates it and saves the scores.

    Args:
        config: the data, the method and the seed.
        workdir: folder for the results; made if missing.
        overwrite: whether to replace the results of a finished run.

    Returns:
        What `metrics.json` holds, in the form of `train_and_evaluate`.

    Raises:
        InputError: anything the user can mend: settings, data, a finished run in
            `workdir`.
    """
    started = time.monotonic()
    with BaselineWorkdir(workdir).in_use(overwrite) as folder:
        return _run_baseline(config, folder, started)


def _run_baseline(config: BaselineRunConfig, folder: BaselineWorkdir, started: float):
    splits = load_splits(config.data, config.seed)
    model = fit_baseline(config.baseline, splits, config.seed)

    def evaluate(examples: Examples | None) -> Evaluation | None:
        if examples is None:
            return None
        probabilities = model.predict(examples.texts)
        return Evaluation.of(examples.labels, probabilities, splits.label_names)

    evaluations = {
        "validation": evaluate(splits.validation),
        "test": evaluate(splits.test),
    }
    metrics, predictions = scores_of(evaluations, splits)
    metrics["run"] = {
        "seed": config.seed,
        "versions": versions(),
        **dataclasses.asdict(config.baseline),
        "seconds": round(time.monotonic() - started, 1),
        "num_train_examples": len(splits.train),
        "num_skipped_rows": splits.num_skipped_rows,
    }
    folder.save(config, metrics, evaluations, predictions)
    return metrics

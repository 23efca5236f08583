"""What a training run leaves."""

from pathlib import Path

from sentiment.config import RunConfig
from sentiment.evaluation import plots
from sentiment.evaluation.predictions import Predictions, write_predictions
from sentiment.runs.files import (
    ADAPTER_FILE,
    CONFIG_FILE,
    DATA_CONFIG_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PLOTS_FOLDER,
    PREDICTIONS_FILE,
    PRESET_FOLDER,
)
from sentiment.runs.history import write_history
from sentiment.runs.workdir import Workdir


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


def _draw_plots(history, evaluations, best_epoch, folder: Path):
    folder.mkdir()
    plots.plot_learning_curves(history, best_epoch, folder / "learning_curves.png")
    plots.draw_evaluation_plots(evaluations, folder)

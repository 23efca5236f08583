"""Names of the files and folders that a run leaves."""

from pathlib import Path

MODEL_FILE = "model.keras"
PRESET_FOLDER = "preset"
ADAPTER_FILE = "adapter.safetensors"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.cfg"
DATA_CONFIG_FILE = "data.cfg"
PREDICTIONS_FILE = "test_predictions.csv"
PLOTS_FOLDER = "plots"
# While it runs.
STAGING_FOLDER = "unfinished"
CHECKPOINTS_FOLDER = "checkpoints"
LOCK_FILE = ".lock"


def is_adapter(path: str | Path) -> bool:
    """Whether a file is read as an adapter, whose preset may be a hub's."""
    return Path(path).suffix == Path(ADAPTER_FILE).suffix


def stage_folders(workdir: str | Path) -> dict[str, Path]:
    """The workdir of each stage of a two-stage run."""
    return {name: Path(workdir) / name for name in ("language_model", "classifier")}

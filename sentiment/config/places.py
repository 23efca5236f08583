"""Where a run leaves what later commands look for."""

from pathlib import Path

MODEL_FILE = "model.keras"
PRESET_FOLDER = "preset"
ADAPTER_FILE = "adapter.safetensors"


def stage_folders(workdir: str | Path) -> dict[str, Path]:
    """The workdir of each stage of a two-stage run."""
    return {name: Path(workdir) / name for name in ("language_model", "classifier")}

"""Presets at half the size."""

import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np

from sentiment.errors import InputError


def save_half_precision(source: str | Path, target: str | Path):
    """Copies a preset folder with its float32 weights as float16, compressed.

    Keras casts them back when it loads them, so the copy is an ordinary preset, and
    computes in float32. Weights below 6e-8 become 0.

    Args:
        source: a preset folder, as `save_to_preset` leaves it.
        target: folder of the copy; must not exist.

    Raises:
        InputError: `source` is no preset or damaged, `target` exists or cannot be
            written, or a weight is NaN or beyond the range of float16. There is no
            `target` then.
    """
    source, target = Path(source), Path(target)
    weights = list(source.glob("*.h5"))
    if not weights or not (source / "metadata.json").is_file():
        raise InputError(
            f"{source} is no preset of KerasHub's: those hold metadata.json and "
            "weights in *.h5."
        )
    if target.exists():
        raise InputError(f"{target} exists. Remove it or name another folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as fresh:
            whole = Path(fresh) / target.name  # appears when all went well
            shutil.copytree(source, whole, ignore=shutil.ignore_patterns("*.h5"))
            for path in weights:
                _copy_weights(path, whole / path.name)
            os.replace(whole, target)
    except OSError as error:  # a damaged file, a full disk, no right to write
        raise InputError(f"{source} cannot be copied to {target}: {error}") from error


def _copy_weights(source: Path, target: Path):
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name, value in old.attrs.items():
            new.attrs[name] = value

        def copy(name, item):
            if isinstance(item, h5py.Group):
                made = new.require_group(name)
            else:
                made = _copy_array(new, name, item)
            for key, value in item.attrs.items():
                made.attrs[key] = value

        old.visititems(copy)


def _copy_array(new, name, item):
    array = item[()]
    if array.dtype != np.float32:
        return new.create_dataset(name, data=array)
    with np.errstate(over="ignore"):  # refused below, by name
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        worst = np.abs(array).max()
        what = "is NaN" if np.isnan(worst) else f"reaches {worst:.3g}, beyond float16"
        raise InputError(f"The weight {name} {what}.")
    compression = "gzip" if half.ndim else None
    return new.create_dataset(name, data=half, compression=compression)

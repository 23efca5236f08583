"""What a machine has and lacks for training, one finding at a time."""

import importlib.metadata
import os
import platform
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from sentiment.config import (
    BUNDLED_CLASSIFIER,
    DEFAULT_CACHE_DIR,
    DataConfig,
    DoctorCommand,
)
from sentiment.errors import InputError
from sentiment.runtime.extras import how_to_install, pyproject
from sentiment.runtime.network import has_network

GIB = 2**30
EXTRA = "train"  # of the package
MIN_MEMORY = 4 * GIB
HOSTS = ("www.kaggle.com", "huggingface.co", "storage.googleapis.com")
# What a smoke step trains.
TEXTS = ["good", "bad", "very good", "very bad"] * 2
LABELS = [1, 0, 1, 0] * 2


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        name: what was looked at.
        state: `ok`, `note` (works, but know it) or `fault`.
        text: what was seen and, unless it is fine, what to do.
    """

    name: str
    state: str
    text: str


def requirements() -> list[str]:
    """What the package needs to train, as in `pyproject.toml`."""
    if path := pyproject():  # A checkout need not be installed.
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    needed = map(Requirement, importlib.metadata.requires("sentiment") or [])
    return [
        f"{one.name}{one.specifier}"
        for one in needed
        if one.marker is None or one.marker.evaluate({"extra": EXTRA})
    ]


def diagnose(command: DoctorCommand, requirements: list[str]) -> Iterator[Finding]:
    """Looks at everything, the quick things first.

    Args:
        command: places to look at.
        requirements: of the package, as in `pyproject.toml`.
    """
    looks: dict[str, Callable[[], tuple[str, str]]] = {
        "python": _python,
        "packages": lambda: _packages(requirements),
        "memory": _memory,
        "device": _device,
        "write access": lambda: _write_access(command.workdir),
        "network": _network,
        "data": lambda: _data(command),
        "train step": _train_step,
    }
    for name, look in looks.items():
        try:
            state, text = look()
        except Exception as error:  # Whatever it is, the others are still of use.
            state, text = "fault", f"{type(error).__name__}: {error}"
        yield Finding(name, state, text)


def verdict(findings: list[Finding]) -> tuple[bool, str]:
    """Whether training can start, and a last line that says so."""
    faults = [finding.name for finding in findings if finding.state == "fault"]
    if faults:
        return False, f"not ready: {', '.join(faults)}"
    return True, "ready"


def _python():
    version = platform.python_version()
    if tuple(map(int, version.split(".")[:2])) < (3, 11):
        return "fault", f"{version}; 3.11 or newer is needed"
    return "ok", version


def _packages(requirements: list[str]):
    """Each requirement against what is installed."""
    wrong, seen = [], []
    for line in requirements:
        requirement = Requirement(line)
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        seen.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(
                f"{requirement.name} is {version}, wanted {requirement.specifier}"
            )
    if wrong:
        return "fault", f"{'; '.join(wrong)}. Mend it: {how_to_install(EXTRA)}"
    shown = ("jax ", "keras ", "keras-hub ", "grain ")
    few = [line for line in seen if line.startswith(shown)]
    return "ok", f"{len(seen)} as wanted, among them {', '.join(few)}"


def _memory():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{total / GIB:.1f} GiB, {os.cpu_count()} CPU cores"
    if total < MIN_MEMORY:
        return "note", f"{text}; give small --batch_size and --sequence_length"
    return "ok", text


def _device():
    """What JAX computes on, proven by a computation."""
    import jax
    import jax.numpy as jnp

    from sentiment.runtime.memory import has_accelerator

    started = time.monotonic()
    result = jax.block_until_ready(jnp.ones((512, 512)) @ jnp.ones((512, 512)))
    (device,) = result.devices()
    if float(result[0, 0]) != 512:
        return "fault", f"{device} computes wrongly: 512 ones add up to {result[0, 0]}"
    seconds = time.monotonic() - started
    text = f"{device.device_kind} ({device.platform}), answered in {seconds:.1f} s"
    if device.platform == "cpu" and has_accelerator():
        return "fault", f"{text}, although JAX has a plugin for another: see its errors"
    if device.platform == "cpu" and Path("/dev/nvidia0").exists():
        return "fault", f'{text}, beside an NVIDIA GPU: pip install "jax[cuda12]"'
    return "ok", text


def _write_access(workdir: str):
    for folder, consequence in ((workdir or ".", "fault"), (DEFAULT_CACHE_DIR, "note")):
        path = Path(folder).absolute()
        there = next(one for one in (path, *path.parents) if one.exists())
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            return consequence, f"{folder} cannot be written to: {error}"
    return "ok", f"{os.path.abspath(workdir or '.')} and {DEFAULT_CACHE_DIR}"


def _network():
    unreachable = [host for host in HOSTS if not has_network(host, timeout=3.0)]
    if unreachable:
        return "note", (
            f"{', '.join(unreachable)} cannot be reached; give folders: --preset, "
            "--tfds_data_dir, or use what comes along (--preset=imdb_mini)"
        )
    return "ok", ", ".join(HOSTS)


def _data(command: DoctorCommand):
    """Whether the data set can be read, without downloading it."""
    from sentiment.data.tfds_source import TfdsSource

    if not command.tfds_data_dir:
        return "note", "no --tfds_data_dir given to look at; TFDS will download"
    if not Path(command.tfds_data_dir).is_dir():
        return "fault", f"--tfds_data_dir={command.tfds_data_dir} is no folder"
    config = DataConfig(dataset=command.dataset, tfds_data_dir=command.tfds_data_dir)
    try:
        splits = TfdsSource(config).splits
    except InputError as error:
        return "fault", str(error)
    return "ok", f"{command.dataset}: {', '.join(splits)}"


def _train_step():
    """One update of a tiny classifier, which takes all that a real one does."""
    import keras
    import numpy as np

    from sentiment.inference.loading import load_classifier

    keras.utils.set_random_seed(0)
    classifier = load_classifier(BUNDLED_CLASSIFIER)
    before = [np.array(weight) for weight in classifier.get_weights()]
    started = time.monotonic()
    classifier.fit(TEXTS, LABELS, batch_size=8, epochs=1, verbose=0)
    seconds = time.monotonic() - started
    after = classifier.get_weights()
    if not all(np.isfinite(weight).all() for weight in after):
        return "fault", "the weights became NaN"
    if not any(np.any(a != b) for a, b in zip(before, after, strict=True)):
        return "fault", "the weights did not change"
    return "ok", f"compiled and made in {seconds:.1f} s"

"""What all tests share: toy texts, tiny models, the scripts, real data."""

import gc
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("KERAS_BACKEND", "jax")
# Caches of the tests and of the processes they start, away from the user's.
CACHES = tempfile.TemporaryDirectory(prefix="sentiment-", ignore_cleanup_errors=True)
os.environ["XDG_CACHE_HOME"] = CACHES.name
# A tiny model takes longer to compile than to run: compiling it in a hurry saves about
# half of the suite's processor time. Processes that tests start compile alike, so that
# results can be equal to the last place; scripts do as on a user's machine.
USUAL_COMPILATION = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
    "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
}
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["XLA_FLAGS"] = " ".join(
    (
        USUAL_COMPILATION["XLA_FLAGS"],
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)

import jax  # noqa: E402
import keras  # noqa: E402
import keras_hub  # noqa: E402
import numpy as np  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import sentiment  # noqa: E402
from sentiment.data.vocabulary import train_vocabulary  # noqa: E402

# The same examples in each run, however busy the machine; nothing is kept on disk.
settings.register_profile(
    "tests",
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tests")

# Tiny models are compiled again and again. The cache is for this process alone: one
# that a test kills could leave half an entry to all others.
jax.config.update("jax_compilation_cache_dir", f"{CACHES.name}/compiled")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# Tracing makes so many objects that the collector's usual 700 cost a twentieth of all.
gc.set_threshold(50_000, 20, 50)

# "!" matters: GPT-2's pad id 0 is also its "!".
TOY_TEXTS = [
    "A great film! I loved every minute of it.",
    "Terrible. Boring plot, bad acting, no end in sight!!!",
    "It was fine, nothing more and nothing less.",
    "",
    "!!!",
    "Good food but the waiter was rude, so not good at all.",
    "中文很好 😀",
    "The battery lasted two days <|endoftext|> then it broke.",
]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Every test draws the same numbers, whichever tests came before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module", autouse=True)
def leave_what_is_old_alone():
    """Spares the garbage collector what was imported and compiled before.

    By the end of a session that is a million objects, a second for each full round.
    """
    gc.collect()
    gc.freeze()


_draw = Figure.savefig


@pytest.fixture(scope="session", autouse=True)
def plots_are_not_drawn():
    """Drawing them takes as long as training a tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda _, file, **kwargs: Path(file).touch())
        yield


@pytest.fixture
def drawn_plots(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", _draw)


@pytest.fixture(scope="session")
def vocabulary():
    """`(vocabulary, merges)` of a byte-level BPE with 300 tokens."""
    return train_vocabulary(TOY_TEXTS * 3, 300)


@pytest.fixture(scope="session")
def tokenizer(vocabulary):
    return sentiment.ByteLevelGPT2Tokenizer(*vocabulary)


@pytest.fixture(scope="session")
def make_backbone(tokenizer):
    """Makes a tiny backbone; keyword arguments override its sizes."""

    def make(**overrides):
        sizes = {
            "vocabulary_size": tokenizer.vocabulary_size(),
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": 16,
            "intermediate_dim": 32,
            "max_sequence_length": 64,
            "dropout": 0.0,
        }
        return keras_hub.models.GPT2Backbone(**{**sizes, **overrides})

    return make


@pytest.fixture
def make_classifier(tokenizer, make_backbone):
    """Makes a tiny classifier with preprocessor, from seed 0, without dropout."""

    def make(
        pooling="mean", num_classes=3, dropout=0.0, backbone=None, **preprocessing
    ):
        keras.utils.set_random_seed(0)
        preprocessor = sentiment.GPT2TextClassifierPreprocessor(
            tokenizer, **preprocessing
        )
        return sentiment.GPT2TextClassifier(
            backbone or make_backbone(dropout=dropout),
            num_classes,
            preprocessor,
            pooling=pooling,
            dropout=dropout,
        )

    return make


@pytest.fixture(scope="session")
def real_classifier(tokenizer, make_backbone):
    """Tiny, untrained, with settings that are not the defaults."""
    keras.utils.set_random_seed(0)
    backbone = make_backbone(num_layers=1, max_sequence_length=16, dropout=0.1)
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(
        tokenizer, sequence_length=12, truncation="tail", lowercase=True
    )
    return sentiment.GPT2TextClassifier(
        backbone,
        3,
        preprocessor,
        pooling="attention",
        label_names=["bad", "so so", "good"],
    )


@pytest.fixture(scope="session")
def randomize():
    """Adds noise to every weight.

    Freshly made, a tiny model gives all texts nearly the same logits, all biases
    0 and all gains 1, and so hides mistakes.
    """

    def randomize(model, stddev=0.3):
        rng = np.random.default_rng(0)
        for variable in model.weights:
            if "float" in variable.dtype:
                noise = rng.normal(0, stddev, variable.shape).astype("float32")
                # In NumPy: JAX would compile a sum for each shape.
                before = np.asarray(variable.value)
                variable.assign((before + noise).astype(before.dtype))
        return model

    return randomize


@pytest.fixture
def logged(caplog):
    """What the package logs, as `caplog`."""
    caplog.set_level(logging.INFO, "sentiment")
    return caplog


class Stop(Exception):
    """Raised where a test stops a run."""


def at_update(updates, act):
    """An `on_update` that calls `act` when so many updates are made."""

    def on_update(done):
        if done == updates:
            act()

    return on_update


def stop_at(updates):
    """An `on_update` that stops a run when so many updates are made."""

    def stop():
        raise Stop

    return at_update(updates, stop)


def terminate_at(updates):
    """An `on_update` that sends SIGTERM to this process when so many are made."""
    return at_update(updates, lambda: signal.raise_signal(signal.SIGTERM))


# --- Fresh processes

# Forked from one that has imported the package, which takes seconds, and no more: JAX
# has not looked for devices there, and no thread has been started.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "sentiment.training.train",
        "sentiment.training.pretrain",
        "sentiment.evaluation.summary",
    ]
)


@pytest.fixture(scope="session", autouse=True)
def forkserver_ends_with_the_tests():
    yield
    multiprocessing.forkserver._forkserver._stop()  # or its time is nobody's


def _run_and_print_to(output, function, arguments, env):
    os.environ.update(env)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output.fileno(), number)
        setattr(sys, name, os.fdopen(number, "w", buffering=1))
    output.close()
    function(*arguments)


def wait_for(path):
    """Waits until a file is there, which another process or thread makes."""
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


class FreshProcess:
    """Calls a function in a process of its own.

    Args:
        function: of a module; an exception is printed and ends with status 1.
        *arguments: can be pickled.
        env: environment variables to be set first.

    Attributes:
        status: how it ended, once `wait` has returned; a signal counts negative.
    """

    def __init__(self, function, *arguments, env=None):
        self._output, output = FORKED.Pipe(duplex=False)
        self._process = FORKED.Process(
            target=_run_and_print_to, args=(output, function, arguments, env or {})
        )
        self._process.start()
        output.close()

    def wait(self):
        """What it printed, when it has ended."""
        is_late = threading.Event()  # or a test for SIGKILL would be content
        timer = threading.Timer(600, lambda: (is_late.set(), self._process.kill()))
        timer.start()
        with open(self._output.fileno(), closefd=False, errors="replace") as stream:
            printed = stream.read()
        self._process.join()
        timer.cancel()
        assert not is_late.is_set(), f"It does not end. It printed: {printed}"
        self.status = self._process.exitcode
        return printed


def call_fresh(function, *arguments, **options):
    """What a function prints in a fresh process, which must succeed."""
    process = FreshProcess(function, *arguments, **options)
    printed = process.wait()
    assert process.status == 0, printed
    return printed


@pytest.fixture
def run_script():
    """Runs a script in a fresh process, by default from another folder.

    `KERAS_BACKEND` is unset there, and programs are compiled as on a user's machine.
    """

    def run(name, *arguments, cwd="/", env=None):
        environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)],
            cwd=cwd,
            env={**environment, **USUAL_COMPILATION, **(env or {})},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data (IMDB, SST, GPT-2's vocabulary); skips without it."""
    folder = Path(os.environ.get("SENTIMENT_DATA", ROOT.parent / "shared"))
    if not (folder / "tfds").is_dir():
        pytest.skip(f"real data is not at {folder}; set SENTIMENT_DATA to its folder")
    return folder

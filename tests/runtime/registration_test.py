"""Our classes are known to Keras, whoever imports what first."""

import os
import subprocess
import sys
from importlib.machinery import PathFinder

import pytest

from sentiment.runtime import registration
from tests.conftest import ROOT

LIGHT = """
import sys
import sentiment
heavy = {"jax", "keras", "keras_hub", "numpy", "sentiment.models"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
PROGRAMS = {
    "keras, later": LIGHT
    + """
import keras
assert keras.backend.backend() == "jax"
print(type(keras.saving.load_model(sys.argv[1])).__name__)
""",
    "keras, before": """
import sys, keras, sentiment
print(type(keras.saving.load_model(sys.argv[1])).__name__)
""",
    "kerashub, later": LIGHT
    + """
import keras_hub
print(type(keras_hub.models.TextClassifier.from_preset(sys.argv[2])).__name__)
""",
    "kerashub, before": """
import os, sys, keras_nlp, sentiment
print(type(keras_nlp.models.TextClassifier.from_preset(sys.argv[2])).__name__)
""",
    # Not "keras.saving" beside "keras": Python does not wait for a package that another
    # thread imports, only for the module itself, and Keras alone fails there as well.
    "several threads": LIGHT
    + """
import importlib, threading
names = ["keras", "keras_hub", "keras_nlp", "sentiment.models"]
threads = [threading.Thread(target=importlib.import_module, args=[n]) for n in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
import keras
print(type(keras.saving.load_model(sys.argv[1])).__name__)
""",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, vocabulary):
    """A tiny classifier, as a file and as a preset."""
    import keras_hub

    import sentiment

    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*vocabulary)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=1,
        hidden_dim=4,
        intermediate_dim=4,
        max_sequence_length=8,
    )
    classifier = sentiment.GPT2TextClassifier(
        backbone, 2, sentiment.GPT2TextClassifierPreprocessor(tokenizer)
    )
    folder = tmp_path_factory.mktemp("saved")
    classifier.save(folder / "model.keras")
    classifier.save_to_preset(str(folder / "preset"))
    return str(folder / "model.keras"), str(folder / "preset")


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_saved_classifier_loads_in_a_fresh_process(program, saved):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"}
    ended = subprocess.run(
        [sys.executable, "-c", program, *saved],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["GPT2TextClassifier"]


# Stand-ins for the libraries. Whatever runs last in a thread prints.
THREADS = """
import threading
begun = threading.Event()
def begin_hub():
    import keras_hub
thread = threading.Thread(target=begin_hub)
def start(seconds=None):
    thread.start()
    begun.wait(seconds)
"""
HUB = "import threads; threads.begun.set(); import keras; finished = True"
MODELS = "import keras_hub; print('registered', keras_hub.finished)"
PROGRAM = """
import sys, sentiment
sentiment.__path__.insert(0, sys.argv[1])  # whose models are stand-ins, too
import keras, threads
threads.thread.join()
"""


@pytest.mark.parametrize(
    ("keras", "models"),
    [
        ("import threads; threads.start()", MODELS),
        # The thread waits for this one: it is given time to come so far.
        ("", f"import threads; threads.start(1); {MODELS}"),
    ],
    ids=["before", "while registering"],
)
def test_another_thread_begins_with_kerashub(keras, models, tmp_path):
    sources = {"threads": THREADS, "keras": keras, "keras_hub": HUB, "models": models}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.stdout, ended.stderr) == ("registered True\n", "")


def test_a_library_that_is_missing_stays_missing(monkeypatch):
    finder = registration._Finder()
    monkeypatch.setattr(sys, "meta_path", [finder])
    assert finder.find_spec("keras") is None


def test_other_modules_are_none_of_its_business():
    assert registration._Finder().find_spec("keras.saving") is None
    assert registration._Finder().find_spec("json") is None


def test_a_spec_that_is_found_loads_the_library_itself():
    spec = registration._Finder().find_spec("keras")
    plain = PathFinder.find_spec("keras")
    assert (spec.name, spec.origin) == ("keras", plain.origin)
    assert type(spec.loader) is type(plain.loader)
    assert spec.loader.get_filename("keras") == spec.origin


def test_a_second_import_of_the_package_adds_no_second_finder(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "keras")
    for _ in range(2):
        registration.register_with_keras()
    assert len(sys.meta_path) == 1

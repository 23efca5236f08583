import json
import math
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

import sentiment
from sentiment import bundled
from sentiment.bundled import FOLDER, bundled_presets, resolve
from sentiment.config import (
    BUNDLED_CLASSIFIER,
    BackboneConfig,
    DataConfig,
)
from sentiment.data.corpus import encode_documents
from sentiment.data.datasets import load_splits
from sentiment.data.pipeline import NextTokenPlan, batches
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.presets import load_backbone
from tests.conftest import ROOT

LANGUAGE_MODEL = "imdb_mini"
MAX_MEGABYTES = 4  # each; float32 would take 6
# What KerasHub can do with the language model where this package is not.
FOREIGN = """
import json, sys
import keras_hub
model = keras_hub.models.GPT2CausalLM.from_preset(sys.argv[1])
model.compile(sampler="greedy")
text = model.generate("this movie is", max_length=12, stop_token_ids=None)
print(json.dumps([text, "sentiment" in sys.modules]))
"""


@pytest.fixture(scope="module")
def quickstart():
    return load_splits(DataConfig(dataset="quickstart"), 0)


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(BUNDLED_CLASSIFIER)


def test_presets_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    assert bundled_presets() == {"mine": tmp_path / "mine"}


def test_a_name_that_is_also_a_path_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve(LANGUAGE_MODEL) == str(FOLDER / LANGUAGE_MODEL)
    assert resolve("elsewhere") == "elsewhere"
    (tmp_path / LANGUAGE_MODEL).mkdir()
    assert resolve(f"./{LANGUAGE_MODEL}") == f"./{LANGUAGE_MODEL}"
    with pytest.raises(InputError, match=rf"Say \./{LANGUAGE_MODEL} for the path"):
        resolve(LANGUAGE_MODEL)
    with pytest.raises(InputError, match=rf"Say \./{LANGUAGE_MODEL} for the path"):
        load_backbone(BackboneConfig(preset=LANGUAGE_MODEL, lowercase=True))
    (tmp_path / BUNDLED_CLASSIFIER).touch()
    with pytest.raises(InputError, match=rf"Say \./{BUNDLED_CLASSIFIER} for the path"):
        load_classifier(BUNDLED_CLASSIFIER)
    with pytest.raises(InputError, match=rf"Say \./{BUNDLED_CLASSIFIER} for the path"):
        sentiment.GPT2TextClassifier.from_preset(BUNDLED_CLASSIFIER)


@pytest.mark.parametrize("name", ["GPT2TextClassifier", "PackedTextClassifier"])
def test_the_classes_know_the_names_too(classifier, name):
    cls = getattr(sentiment, name)
    found = cls.from_preset(BUNDLED_CLASSIFIER)
    assert type(found) is sentiment.GPT2TextClassifier
    assert found.label_names == classifier.label_names
    for one, other in zip(found.weights, classifier.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    fresh = cls.from_preset(LANGUAGE_MODEL, num_classes=2)
    assert type(fresh) is sentiment.GPT2TextClassifier


def test_a_language_model_and_a_classifier_come_along_and_are_small():
    presets = bundled_presets()
    assert set(presets) == {LANGUAGE_MODEL, BUNDLED_CLASSIFIER}
    for folder in presets.values():
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= MAX_MEGABYTES * 1e6
        for path in files:
            if path.suffix == ".h5":
                assert dtypes(path) == {"float16"}


def dtypes(path):
    """Those of all arrays in a file of weights."""
    found = set()

    def look(_, item):
        if isinstance(item, h5py.Dataset) and item.ndim:
            found.add(str(item.dtype))

    with h5py.File(path) as file:
        file.visititems(look)
    return found


def test_kerashub_generates_from_the_language_model_without_this_package():
    folder = bundled_presets()[LANGUAGE_MODEL]
    result = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(folder)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=300,
        cwd="/",
    )
    assert result.returncode == 0, result.stderr
    text, has_package = json.loads(result.stdout.splitlines()[-1])
    assert text.startswith("this movie is") and len(text) > len("this movie is")
    assert not has_package


def test_the_language_model_has_learnt_how_reviews_are_written(quickstart):
    # Random weights need 13 bits a token, about 3.5 a byte; IMDB's own texts 1.65.
    settings = BackboneConfig(preset=LANGUAGE_MODEL, lowercase=True)
    backbone, tokenizer = load_backbone(settings)
    texts = [text.lower() for text in quickstart.test.texts]
    documents = encode_documents(tokenizer, texts, row_length=256)
    plan = NextTokenPlan(documents, 8, 256)
    model = PackedCausalLM(backbone)
    model.compile(loss=None)
    loss = model.evaluate(batches(plan), steps=plan.num_batches, verbose=0)
    bits = loss * documents.num_targets / math.log(2)
    assert bits / documents.num_bytes < 2.4


def test_the_classifier_tells_praise_from_complaint_outside_films(
    classifier, quickstart
):
    clear = np.flatnonzero(
        quickstart.test.labels != quickstart.label_names.index("neutral")
    )
    reviews = quickstart.test.take(clear)
    found = classifier.predict(reviews.texts).argmax(axis=1)
    expected = [quickstart.label_names[label] for label in reviews.labels]
    names = [classifier.label_names[index] for index in found]
    assert np.mean(np.equal(names, expected)) > 0.62  # chance: 0.5, standard error 0.04


def test_the_classifier_is_as_good_as_its_card_says(classifier, shared_data):
    data = DataConfig(
        dataset="imdb_reviews",
        tfds_data_dir=str(shared_data / "tfds"),
        max_test_examples=1000,
    )
    test = load_splits(data, 0).test
    found = classifier.predict(test.texts).argmax(axis=1)
    card = (ROOT / "MODEL_CARD.md").read_text()
    claim = float(re.search(r"25,000 test reviews \| ([\d.]+)%", card).group(1)) / 100
    error = math.sqrt(claim * (1 - claim) / len(test))
    assert np.mean(found == test.labels) == pytest.approx(claim, abs=2.5 * error)

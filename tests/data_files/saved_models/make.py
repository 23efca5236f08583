"""Saves tiny classifiers, for later commits to load.

    python tests/data_files/saved_models/make.py tests/data_files/saved_models/<commit>

Run it in a checkout of the commit whose models are to be kept. The weights are random,
the texts our own. `tests/inference/loading_test.py` loads what is in each folder here.
"""

import json
import sys
import zipfile
from pathlib import Path

import sentiment  # isort: skip
import keras
import keras_hub
import numpy as np

from sentiment.compression.quantization import quantize
from sentiment.data.vocabulary import train_vocabulary

TEXTS = [
    "A fine film, and a kind one.",
    "Dull!",
    "",
    "The end came late; so did the jokes.",
]
SIZE = 262


def make(kind, tokenizer, rng):
    """A classifier of the least size."""
    keras.utils.set_random_seed(0)
    if kind == "gpt2":
        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=SIZE,
            num_layers=1,
            num_heads=1,
            hidden_dim=4,
            intermediate_dim=4,
            max_sequence_length=16,
            dropout=0.0,
        )
        classifier_class = sentiment.GPT2TextClassifier
    else:
        backbone = sentiment.RNNBackbone(SIZE, 1, 4, kind, dropout=0.0)
        classifier_class = sentiment.RNNTextClassifier
    classifier = classifier_class(
        backbone,
        2,
        sentiment.GPT2TextClassifierPreprocessor(
            tokenizer, sequence_length=16, truncation="head_tail", lowercase=True
        ),
        pooling="last",
        dropout=0.0,
        label_names=["bad", "good"],
    )
    for variable in classifier.weights:
        if "float" in variable.dtype:
            noise = rng.normal(0, 1, variable.shape).astype("float32")
            variable.assign(variable.value + noise)
    return classifier


def zip_tightly(path):
    """Keras stores its archives without compression."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def main(folder):
    folder.mkdir(parents=True)
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*train_vocabulary(TEXTS, SIZE))
    rng = np.random.default_rng(0)
    probabilities = {}
    for kind in ("gpt2", "lstm"):
        for mode in ("", "int8"):
            classifier = make(kind, tokenizer, rng)
            if mode:
                quantize(classifier, mode)
            path = folder / f"{kind}{mode and '_'}{mode}.keras"
            classifier.save(path)
            zip_tightly(path)
            probabilities[path.name] = classifier.predict(TEXTS).tolist()
    expected = {"texts": TEXTS, "probabilities": probabilities}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

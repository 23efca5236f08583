"""Eight virtual devices, in a process of their own: the count is fixed at start."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

STEPS = 20
TRAIN = """
import json, sys
import sentiment
import keras
import keras_hub
import numpy as np
from sentiment.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import BatchPlan, EncodedExamples
from sentiment.training import fitting
from sentiment.training.devices import device_name, sharding_scope
from tests.conftest import TOY_TEXTS
from sentiment.data.vocabulary import train_vocabulary

num_devices, steps = map(int, sys.argv[1:])
training = TrainingConfig(
    batch_size=8, epochs=1, learning_rate=0.01, gradient_accumulation_steps=2,
    num_devices=num_devices,
)
config = RunConfig(DataConfig(dataset="quickstart"), ModelConfig(), training)
rng = np.random.default_rng(0)

def examples(count):
    sequences = [rng.integers(1, 200, rng.integers(9, 24)) for _ in range(count)]
    return EncodedExamples(
        RaggedTokens.from_sequences(sequences), rng.integers(0, 3, count), 0
    )

class Losses(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        losses.append(float(logs["loss"]))

losses = []
keras.utils.set_random_seed(0)
with sharding_scope(training):
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*train_vocabulary(TOY_TEXTS * 3, 300))
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=2, num_heads=2,
        hidden_dim=16, intermediate_dim=32, max_sequence_length=32, dropout=0.0,
    )
    classifier = sentiment.GPT2TextClassifier(
        backbone, 3, sentiment.GPT2TextClassifierPreprocessor(tokenizer), dropout=0.0
    )
    plan = BatchPlan(examples(16 * steps * 2 - 5), 16, 32, seed=0)
    assert plan.num_batches >= steps, plan.num_batches
    fitting.ProgressBar = lambda *_, **__: Losses()
    history = fitting.fit(classifier, config, plan, examples(37)).history
    probabilities = classifier.predict(TOY_TEXTS)
    print(json.dumps({
        "losses": losses[:steps],
        "validation": history["val_loss"],
        "probabilities": probabilities.tolist(),
        "device": device_name(),
        "placed": len(classifier.logits_dense.kernel.value.sharding.device_set),
    }))
"""


def trained(num_devices):
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment["PYTHONPATH"] = str(ROOT)
    environment["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-c", TRAIN, str(num_devices), str(STEPS)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one():
    return trained(1)


@pytest.fixture(scope="module")
def eight():
    return trained(8)


def test_eight_devices_are_used_and_named(one, eight):
    assert (one["placed"], eight["placed"]) == (1, 8)
    assert eight["device"].endswith("as 8 devices")
    assert "devices" not in one["device"]


def test_eight_devices_give_the_losses_of_one_over_20_steps(one, eight):
    assert len(one["losses"]) == len(eight["losses"]) == STEPS
    assert max(one["losses"]) - min(one["losses"]) > 0.01  # it has learned
    assert eight["losses"] == pytest.approx(one["losses"], abs=1e-4)
    assert eight["validation"] == pytest.approx(one["validation"], abs=1e-4)


def test_eight_devices_predict_what_one_does(one, eight):
    for row, expected in zip(eight["probabilities"], one["probabilities"], strict=True):
        assert row == pytest.approx(expected, abs=1e-4)

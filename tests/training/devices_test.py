"""Eight virtual devices, in a process of their own: the count is fixed at start."""

import json
import os

import keras
import keras_hub
import numpy as np
import pytest

import sentiment
from sentiment.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import BatchPlan, EncodedExamples
from sentiment.data.vocabulary import train_vocabulary
from sentiment.training import fitting
from sentiment.training.devices import device_name, sharding_scope
from tests.conftest import TOY_TEXTS, call_fresh

STEPS = 20


def train(num_devices):
    """Trains in a fresh process on some of eight devices, and prints what came out."""
    training = TrainingConfig(
        batch_size=8,
        epochs=1,
        learning_rate=0.01,
        gradient_accumulation_steps=2,
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
    vocabulary = train_vocabulary(TOY_TEXTS * 3, 300)
    with sharding_scope(training):
        tokenizer = sentiment.ByteLevelGPT2Tokenizer(*vocabulary)
        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            num_layers=2,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=32,
            dropout=0.0,
        )
        preprocessor = sentiment.GPT2TextClassifierPreprocessor(tokenizer)
        classifier = sentiment.GPT2TextClassifier(
            backbone, 3, preprocessor, dropout=0.0
        )
        plan = BatchPlan(examples(16 * STEPS * 2 - 5), 16, 32, seed=0)
        assert plan.num_batches >= STEPS, plan.num_batches
        fitting.ProgressBar = lambda *_, **__: Losses()
        history = fitting.fit(classifier, config, plan, examples(37)).history
        probabilities = classifier.predict(TOY_TEXTS)
        found = {
            "losses": losses[:STEPS],
            "validation": history["val_loss"],
            "probabilities": probabilities.tolist(),
            "device": device_name(),
            "placed": len(classifier.logits_dense.kernel.value.sharding.device_set),
        }
    print(json.dumps(found))


def trained(num_devices):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    printed = call_fresh(train, num_devices, env={"XLA_FLAGS": flags})
    return json.loads(printed.splitlines()[-1])


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

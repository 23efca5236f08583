import json
import os
import subprocess
import sys
import zipfile

import jax
import keras
import keras_hub
import numpy as np
import pytest

import sentiment
from sentiment.config import SpeedConfig
from sentiment.errors import InputError
from sentiment.models.backbones import packed_transformer
from sentiment.models.packed_text_classifier_preprocessor import (
    DEFAULT_SEQUENCE_LENGTH,
)
from sentiment.models.pooling import POOLINGS
from tests.conftest import ROOT

TEXTS = ["A great film!", "Terrible.", "", "!!!", "中文 😀", "GOOD good " * 30]

# --- Packing

# Reviews of disjoint token ids, so that a gradient by token is one by review.
REVIEWS = [np.arange(1, 5), np.arange(5, 6), np.arange(6, 11)]
CHANGED = [[1, 2, 3, 4], [17], [18, 18, 19, 12, 6]]
SLOTS, ROW_LENGTH, VOCABULARY = 4, 12, 20


def packed_rows(reviews, padding):
    """Row 0 holds all reviews, row i + 1 review i alone."""
    token_ids = np.full((4, ROW_LENGTH), padding, np.int32)
    lengths = np.zeros((4, SLOTS), np.int32)
    for i, row in enumerate([np.concatenate(reviews), *reviews]):
        token_ids[i, : len(row)] = row
    lengths[0, :3] = [len(review) for review in reviews]
    lengths[1:, 0] = lengths[0, :3]
    return token_ids, lengths


STOCK_LAYERS = SpeedConfig(
    chunked_attention=False, hash_dropout=False, skip_unread=False
)


@pytest.fixture(scope="module", params=["fast", "stock"])
def speed(request):
    return SpeedConfig() if request.param == "fast" else STOCK_LAYERS


@pytest.fixture(scope="module", params=[name for name in POOLINGS if name != "cls"])
def run(request, randomize, speed):
    """Gives a classifier's logits and row 0's jacobian by embedding vector."""
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=ROW_LENGTH,
        dropout=0.0,
    )
    classifier = randomize(
        sentiment.GPT2TextClassifier(
            backbone, 3, pooling=request.param, dropout=0.0, compile=False
        )
    )
    classifier.speed = speed
    table = backbone.token_embedding.embeddings
    weights = [variable.value for variable in classifier.trainable_variables]
    position = next(
        i for i, v in enumerate(classifier.trainable_variables) if v is table
    )
    frozen = [variable.value for variable in classifier.non_trainable_variables]

    @jax.jit
    def run(token_ids, lengths):
        def logits(table):
            values = [*weights[:position], table, *weights[position + 1 :]]
            x = {"token_ids": token_ids, "segment_lengths": lengths}
            result, _ = classifier.stateless_call(values, frozen, x)
            return result[0], result

        jacobian, result = jax.jacrev(logits, has_aux=True)(weights[position])
        return result, jacobian

    def run_in_short_chunks(*batch):
        """Attention goes in three chunks of a row, not in one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packed_transformer, "CHUNK_LENGTH", 5)
            return jax.tree.map(np.asarray, run(*batch))

    return run_in_short_chunks


@pytest.fixture(scope="module")
def logits_and_jacobian(run):
    return run(*packed_rows(REVIEWS, padding=0))


def test_packed_and_unpacked_logits_agree(logits_and_jacobian):
    logits, _ = logits_and_jacobian
    np.testing.assert_allclose(logits[0, :3], logits[1:, 0], rtol=0, atol=1e-5)
    spread = np.abs(logits[0, :3, None] - logits[0, None, :3]).max(-1)
    assert spread[~np.eye(3, dtype=bool)].min() > 1e-2


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_changing_a_review_changes_no_other_logit_at_all(
    run, logits_and_jacobian, changed
):
    reviews = [
        CHANGED[i][::-1] if i == changed else review for i, review in enumerate(REVIEWS)
    ]
    logits, _ = logits_and_jacobian
    others, _ = run(*packed_rows(reviews, padding=0))
    same = np.arange(3) != changed
    np.testing.assert_array_equal(others[0, :3][same], logits[0, :3][same])
    assert (others[0, changed] != logits[0, changed]).any()


def test_gradient_of_a_review_by_others_tokens_is_exactly_zero(logits_and_jacobian):
    _, jacobian = logits_and_jacobian  # (slots, classes, vocabulary, hidden_dim)
    influence = np.abs(jacobian).max(axis=(1, 3))
    for slot, review in enumerate(REVIEWS):
        own = np.isin(np.arange(VOCABULARY), review)
        assert (influence[slot][~own] == 0).all()
        assert (influence[slot][own] > 0).any()


def test_padding_content_cannot_matter(run, logits_and_jacobian):
    logits, jacobian = logits_and_jacobian
    others, other_jacobian = run(*packed_rows(REVIEWS, padding=7))
    np.testing.assert_array_equal(others[0, :3], logits[0, :3])
    np.testing.assert_array_equal(others[1:, 0], logits[1:, 0])
    np.testing.assert_array_equal(other_jacobian[:3], jacobian[:3])


def test_unused_slots_are_finite_in_value_and_gradient(run, logits_and_jacobian):
    for result in logits_and_jacobian:
        assert np.isfinite(result).all()
    empty = np.zeros((4, ROW_LENGTH), np.int32), np.zeros((4, SLOTS), np.int32)
    for result in run(*empty):
        assert np.isfinite(result).all()


def test_mixed_precision_stops_before_the_pooling(make_classifier, make_backbone):
    backbone = make_backbone(num_layers=1, dtype="mixed_bfloat16")
    classifier = make_classifier("concat", backbone=backbone)
    assert backbone.transformer_layers[0].compute_dtype == "bfloat16"
    assert classifier.pooler.output.dtype == "float32"
    assert classifier.output.dtype == "float32"


# --- Construction


def test_wrong_arguments_are_input_errors(make_classifier, make_backbone):
    with pytest.raises(InputError, match=r"auto, last, cls, mean, max.*'sum'"):
        make_classifier("sum")
    with pytest.raises(InputError, match=r"at least 2.*1"):
        make_classifier(num_classes=1)
    backbone = make_backbone()
    for names in (["a", "b"], ["a", "b", "b"]):
        with pytest.raises(InputError, match="3 different names"):
            sentiment.GPT2TextClassifier(backbone, 3, label_names=names)


def test_sequence_length_beyond_the_positions_is_an_input_error(make_classifier):
    assert make_classifier(sequence_length=64).preprocessor.sequence_length == 64
    with pytest.raises(InputError, match=r"sequence_length=65 .* 64 positions"):
        make_classifier(sequence_length=65)


def test_sequence_length_defaults_to_512_or_the_positions(
    make_classifier, make_backbone
):
    assert make_classifier().preprocessor.sequence_length == 64
    longer = make_classifier(backbone=make_backbone(max_sequence_length=600))
    assert longer.preprocessor.sequence_length == DEFAULT_SEQUENCE_LENGTH == 512


def test_fact_positions_beyond_the_table_give_nan(make_backbone):
    positions = np.array([[63, 64]])
    backbone = make_backbone()
    tokens = backbone.token_embedding(np.array([[1, 1]]))
    result = np.asarray(backbone.position_embedding(tokens, positions=positions))
    assert np.isfinite(result[0, 0]).all()
    assert np.isnan(result[0, 1]).all()


def test_label_names_default_to_numbers(make_classifier):
    assert make_classifier(num_classes=4).label_names == ("0", "1", "2", "3")


def test_config_holds_every_argument(make_classifier, make_backbone):
    arguments = {
        "num_classes": 4,
        "pooling": "gru",
        "dropout": 0.25,
        "label_names": ("no", "so", "la", "la la"),
        "temperature": 0.5,
        "name": "judge",
    }
    preprocessor = make_classifier(truncation="tail").preprocessor
    classifier = sentiment.GPT2TextClassifier(
        make_backbone(dropout=0.3), preprocessor=preprocessor, **arguments
    )
    config = classifier.get_config()
    json.dumps(config)  # What cannot be written cannot be saved.
    again = sentiment.GPT2TextClassifier.from_config(config.copy())
    assert {name: getattr(again, name) for name in arguments} == arguments
    assert again.pooled_dropout.rate == 0.25
    assert again.backbone.get_config() == classifier.backbone.get_config()
    assert again.preprocessor.get_config() == preprocessor.get_config()
    assert again.get_config() == classifier.get_config()
    shapes = [variable.shape for variable in classifier.weights]
    assert [variable.shape for variable in again.weights] == shapes


# --- Saving

LABEL_NAMES = ("bad", "so-so", "good")
RELOAD = """
import json, sys, warnings
import sentiment, keras
model, preset, texts = json.loads(sys.argv[1])

def describe(classifier):
    preprocessor = classifier.preprocessor
    return {
        "class": type(classifier).__name__,
        "tokenizer": type(preprocessor.tokenizer).__name__,
        "label_names": classifier.label_names,
        "lowercase": preprocessor.lowercase,
        "truncation": preprocessor.truncation,
        "sequence_length": preprocessor.sequence_length,
        "pooling": classifier.pooling,
        "dropout": classifier.dropout,
        "temperature": classifier.temperature,
    }

def predictions(classifier):
    return {"predictions": classifier.predict(texts).tolist()}

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    classifier = keras.saving.load_model(model)
    loaded = {"model": describe(classifier) | predictions(classifier)}
    classifier = sentiment.GPT2TextClassifier.from_preset(preset)
    loaded["preset"] = describe(classifier) | predictions(classifier)
    import keras_hub
    loaded["hub"] = describe(keras_hub.models.TextClassifier.from_preset(preset))
loaded["warnings"] = [str(warning.message) for warning in caught]
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def saved(tokenizer, make_backbone, randomize, tmp_path_factory):
    """A trained classifier, its files, and what a fresh process makes of them."""
    keras.utils.set_random_seed(0)
    backbone = make_backbone(
        num_layers=1,
        max_sequence_length=6000,  # Weights that outweigh the file's own structure.
        dropout=0.1,
    )
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(
        tokenizer, sequence_length=24, truncation="tail", lowercase=True
    )
    classifier = sentiment.GPT2TextClassifier(
        backbone, 3, preprocessor, "lstm", 0.2, LABEL_NAMES, temperature=0.5
    )
    randomize(classifier, 0.1)
    classifier.compile(weighted_metrics=[])
    classifier.fit(["good", "bad"], [2, 0], shuffle=False, verbose=0)
    folder = tmp_path_factory.mktemp("saved")
    classifier.save(folder / "with_slots.keras")
    classifier.compile()
    classifier.save(folder / "model.keras")
    classifier.save_to_preset(str(folder / "preset"))

    paths = [str(folder / "model.keras"), str(folder / "preset")]
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    process = subprocess.run(
        [sys.executable, "-c", RELOAD, json.dumps([*paths, TEXTS])],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    reloaded = json.loads(process.stdout.splitlines()[-1])
    return classifier, folder, reloaded, process.stderr


@pytest.mark.parametrize("source", ["model", "preset"])
def test_fresh_process_predicts_the_same_to_the_last_place(saved, source):
    classifier, _, reloaded, _ = saved
    expected = classifier.predict(TEXTS)
    assert expected.max() - expected.min() > 0.1
    predictions = np.array(reloaded[source]["predictions"], np.float32)
    np.testing.assert_array_equal(predictions, expected)


def test_reloaded_weights_are_the_same_bit_for_bit(saved):
    classifier, folder, _, _ = saved
    loaded = keras.saving.load_model(folder / "model.keras").get_weights()
    for one, other in zip(loaded, classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fresh_process_predicts_the_same_from_either_form(saved):
    _, _, reloaded, _ = saved
    assert reloaded["model"]["predictions"] == reloaded["preset"]["predictions"]


@pytest.mark.parametrize("source", ["model", "preset", "hub"])
def test_fresh_process_finds_class_names_and_preprocessing(saved, source):
    _, _, reloaded, _ = saved
    found = {k: v for k, v in reloaded[source].items() if k != "predictions"}
    assert found == {
        "class": "GPT2TextClassifier",
        "tokenizer": "ByteLevelGPT2Tokenizer",
        "label_names": list(LABEL_NAMES),
        "lowercase": True,
        "truncation": "tail",
        "sequence_length": 24,
        "pooling": "lstm",
        "dropout": 0.2,
        "temperature": 0.5,
    }


def test_fresh_process_loads_without_warnings(saved):
    _, _, reloaded, stderr = saved
    assert reloaded["warnings"] == []
    assert "WARNING" not in stderr


def test_saved_model_holds_weights_once_and_no_optimizer_slots(saved):
    classifier, folder, _, _ = saved
    weight_bytes = 4 * classifier.count_params()

    def size(name):
        with zipfile.ZipFile(folder / name) as archive:
            return archive.getinfo("model.weights.h5").file_size

    assert weight_bytes < size("model.keras") < 1.3 * weight_bytes
    # Adam's two slots: compile() is what leaves them out.
    assert size("with_slots.keras") > 2.9 * weight_bytes


def test_new_number_of_classes_gives_a_fresh_head_on_the_same_backbone(saved):
    classifier, folder, _, _ = saved
    for cls in (sentiment.GPT2TextClassifier, keras_hub.models.TextClassifier):
        other = cls.from_preset(str(folder / "preset"), num_classes=5)
        assert type(other) is sentiment.GPT2TextClassifier
        assert other.logits_dense.kernel.shape == (16, 5)
        assert other.label_names == ("0", "1", "2", "3", "4")
        assert other.temperature == 1.0
        assert other.pooling == "lstm"
        assert other.preprocessor.sequence_length == 24
        for a, b in zip(
            other.backbone.weights, classifier.backbone.weights, strict=True
        ):
            np.testing.assert_array_equal(a.value, b.value)


def test_same_number_of_classes_given_anew_keeps_names_but_not_the_head(saved):
    classifier, folder, _, _ = saved
    other = sentiment.GPT2TextClassifier.from_preset(
        str(folder / "preset"), num_classes=3
    )
    assert other.label_names == LABEL_NAMES
    assert other.temperature == 1.0
    assert not np.asarray(other.logits_dense.bias.value).any()
    assert np.asarray(classifier.logits_dense.bias.value).any()


def test_new_label_names_come_with_a_new_number_of_classes(saved):
    _, folder, _, _ = saved
    other = sentiment.GPT2TextClassifier.from_preset(
        str(folder / "preset"), num_classes=2, label_names=["no", "yes"]
    )
    assert other.label_names == ("no", "yes")


def test_speed_can_be_set_after_use_and_is_not_saved(make_classifier):
    classifier = make_classifier(pooling="last")
    fast = classifier.predict(TEXTS)
    assert classifier.speed == SpeedConfig()
    classifier.speed = STOCK_LAYERS
    assert classifier.predict_function is None  # compiled for the old paths
    np.testing.assert_allclose(classifier.predict(TEXTS), fast, rtol=0, atol=1e-5)
    again = sentiment.GPT2TextClassifier.from_config(classifier.get_config())
    assert again.speed == SpeedConfig()

import dataclasses
import json

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import sentiment
from sentiment.config import LORA_TARGETS, ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.lora import (
    METADATA,
    enable_lora,
    load_adapter,
    merge_lora,
    save_adapter,
)
from sentiment.models.presets import load_pretrained
from tests.conftest import TOY_TEXTS, call_fresh

LABELS = np.arange(len(TOY_TEXTS)) % 3
PATHS = {
    "query": "self_attention/query",
    "key": "self_attention/key",
    "value": "self_attention/value",
    "output": "self_attention/attention_output",
    "intermediate": "feedforward_intermediate_dense",
    "feedforward": "feedforward_output_dense",
}

OF_GPT2 = tuple(name for name in LORA_TARGETS if name != "gate")


@pytest.fixture
def preset(tmp_path, write_kerashub_folder, vocabulary):
    write_kerashub_folder(tmp_path / "preset", *vocabulary)
    return str(tmp_path / "preset")


@pytest.fixture
def model_config(preset):
    return ModelConfig(
        preset=preset,
        dropout=0.0,
        truncation="head_tail",
        pooling="attention",
        lowercase=True,
    )


@pytest.fixture
def build():
    """A classifier on a preset's backbone, with a fresh head."""

    def make(config, dtype="float32", **head):
        keras.utils.set_random_seed(0)
        backbone, preprocessor = load_pretrained(config, dtype)
        return sentiment.GPT2TextClassifier(
            backbone,
            3,
            preprocessor,
            pooling=config.pooling,
            dropout=config.dropout,
            label_names=["bad", "fair", "good"],
            **head,
        )

    return make


@pytest.fixture
def on_preset(build, model_config):
    return lambda: build(model_config)


def tune(classifier):
    classifier.compile(keras.optimizers.Adam(0.05))
    classifier.fit(TOY_TEXTS, LABELS, epochs=2, verbose=0)


def weights(model):
    return {v.path: np.array(v.value) for v in model.weights}


@pytest.mark.parametrize("target", OF_GPT2)
def test_only_adapters_pooling_and_head_are_trained(make_classifier, target):
    classifier = make_classifier(pooling="attention")
    above = {
        v.path
        for layer in (classifier.pooler, classifier.logits_dense)
        for v in layer.weights
    }
    enable_lora(classifier, 2, (target,))
    adapters = {
        f"transformer_layer_{i}/{PATHS[target]}/lora_kernel_{side}"
        for i in range(2)
        for side in "ab"
    }
    assert {v.path for v in classifier.trainable_variables} == above | adapters


def test_training_changes_what_is_trained_and_nothing_else(on_preset):
    classifier = on_preset()
    enable_lora(classifier, 2)
    before = weights(classifier)
    tune(classifier)
    trained = {v.path for v in classifier.trainable_variables}
    changed = {
        path
        for path, value in weights(classifier).items()
        if "seed" not in path and not np.array_equal(before[path], value)
    }
    assert changed == trained


@pytest.mark.parametrize("alpha", [None, 6.0])
def test_a_merged_kernel_is_that_of_the_paper(make_classifier, randomize, alpha):
    classifier = make_classifier()
    enable_lora(classifier, 2, ("query", "feedforward"), alpha)
    randomize(classifier)
    merged = weights(merge_lora(classifier).backbone)
    scale = 1.0 if alpha is None else 3.0
    for variables in classifier.backbone.transformer_layers:
        for layer in (
            variables._self_attention_layer.query_dense,
            variables._feedforward_output_dense,
        ):
            change = np.einsum(
                "...r,rk->...k", layer.lora_kernel_a, layer.lora_kernel_b
            )
            np.testing.assert_allclose(
                merged[layer._kernel.path],
                np.array(layer._kernel) + scale * change,
                rtol=1e-5,
                atol=1e-6,
            )


def test_merging_changes_no_prediction_and_leaves_no_adapter(on_preset):
    classifier = on_preset()
    enable_lora(classifier, 4, OF_GPT2, alpha=8.0)
    untuned = classifier.predict(TOY_TEXTS)
    tune(classifier)
    expected = classifier.predict(TOY_TEXTS)
    assert np.abs(expected - untuned).max() > 0.05
    merged = merge_lora(classifier)
    np.testing.assert_allclose(merged.predict(TOY_TEXTS), expected, atol=2e-6)
    fresh = on_preset()
    assert [v.path for v in merged.weights] == [v.path for v in fresh.weights]
    assert merged.label_names == classifier.label_names
    assert len(merged.trainable_variables) == len(fresh.trainable_variables)


def save_reloaded(adapter, path):
    """What an adapter's file gives, loaded as an adapter and as a classifier."""
    one, other = load_adapter(adapter), load_classifier(adapter)
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    same = all(np.array_equal(a, b) for a, b in pairs)
    weights = {f"{i:03d}": weight for i, weight in enumerate(one.get_weights())}
    np.savez(path, same=same, predictions=one.predict(TOY_TEXTS), **weights)


def test_an_adapter_restores_the_tuned_model_in_a_fresh_process(
    on_preset, model_config, tmp_path, monkeypatch
):
    classifier = on_preset()
    enable_lora(classifier, 2, ("query", "key", "output"), alpha=3.0)
    tune(classifier)
    classifier.temperature = 1.5
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(model_config, preset="preset")
    save_adapter(classifier, relative, tmp_path / "a.safetensors")
    monkeypatch.chdir("/")
    merged = merge_lora(classifier)
    assert merged.temperature == 1.5
    call_fresh(save_reloaded, tmp_path / "a.safetensors", tmp_path / "out.npz")
    found = dict(np.load(tmp_path / "out.npz"))
    assert found.pop("same")
    np.testing.assert_allclose(
        found.pop("predictions"), merged.predict(TOY_TEXTS), rtol=1e-6
    )
    expected = merged.get_weights()
    assert len(found) == len(expected)
    for name, value in zip(sorted(found), expected, strict=True):
        np.testing.assert_array_equal(found[name], value)


def test_an_adapter_holds_what_was_trained_alone(on_preset, model_config, tmp_path):
    classifier = on_preset()
    enable_lora(classifier, 2)
    save_adapter(classifier, model_config, tmp_path / "a.safetensors")
    held = load_file(tmp_path / "a.safetensors")
    assert set(held) == {v.path for v in classifier.trainable_variables}


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_all_but_the_weights_comes_back_too(build, model_config, tmp_path, dtype):
    config = dataclasses.replace(model_config, keep_layers=1)
    head = {"head_activation": "tanh", "head_norm_epsilon": 0.01}
    classifier = build(config, dtype, **head)
    classifier.preprocessor.sequence_length = 17
    enable_lora(classifier, 1)
    save_adapter(classifier, config, tmp_path / "a.safetensors")
    expected, found = merge_lora(classifier), load_adapter(tmp_path / "a.safetensors")
    assert found.label_names == ("bad", "fair", "good")
    assert found.backbone.num_layers == 1
    assert found.backbone.dtype_policy.name == dtype
    assert found.head_form == {"pooling": "attention", **head}
    assert found.dropout == 0.0
    reader = found.preprocessor
    assert (reader.sequence_length, reader.truncation) == (17, "head_tail")
    assert reader.lowercase
    np.testing.assert_array_equal(found.predict(TOY_TEXTS), expected.predict(TOY_TEXTS))


def test_rounding_in_bfloat16_is_all_that_merging_changes(build, model_config):
    classifier = build(model_config, "mixed_bfloat16")
    enable_lora(classifier, 4, OF_GPT2)
    tune(classifier)
    merged = merge_lora(classifier)
    np.testing.assert_allclose(
        merged.predict(TOY_TEXTS), classifier.predict(TOY_TEXTS), atol=0.05
    )


def test_a_preset_that_moved_is_named_with_what_to_do(
    on_preset, model_config, tmp_path
):
    classifier = on_preset()
    enable_lora(classifier, 1)
    path = tmp_path / "a.safetensors"
    save_adapter(classifier, model_config, path)
    (tmp_path / "preset").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"Put back the preset .*preset.*load_adapter"):
        load_adapter(path)
    found = load_adapter(path, str(tmp_path / "moved"))
    expected = merge_lora(classifier).get_weights()
    for one, other in zip(found.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_preset_is_refused(
    on_preset, model_config, tmp_path, vocabulary, write_huggingface_folder
):
    classifier = on_preset()
    enable_lora(classifier, 1)
    save_adapter(classifier, model_config, tmp_path / "a.safetensors")
    write_huggingface_folder(tmp_path / "other", *vocabulary)
    with pytest.raises(InputError, match=r"belongs to the preset .* other weights"):
        load_adapter(tmp_path / "a.safetensors", str(tmp_path / "other"))


def test_a_damaged_file_is_refused(on_preset, model_config, tmp_path):
    classifier = on_preset()
    enable_lora(classifier, 1)
    path = tmp_path / "a.safetensors"
    save_adapter(classifier, model_config, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"a\.safetensors cannot be read"):
        load_adapter(path)


def test_other_safetensors_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"wte.weight": np.zeros(3, "f4")}, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no adapter of this project.*format"):
        load_adapter(path)


def header_of(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size))["__metadata__"]


def test_an_adapter_of_before_there_were_temperatures_and_norms_is_read(
    build, model_config, tmp_path
):
    classifier = build(model_config, head_activation="tanh")
    classifier.temperature = 2.0
    enable_lora(classifier, 1)
    path = tmp_path / "a.safetensors"
    save_adapter(classifier, model_config, path)
    about = json.loads(header_of(path)[METADATA])
    assert about.pop("temperature") == 2.0
    about["head_activation"] = about.pop("head")["head_activation"]
    save_file(load_file(path), path, metadata={METADATA: json.dumps(about)})
    found = load_adapter(path)
    assert found.temperature == 1.0
    assert found.head_form == classifier.head_form
    assert found.head_activation == "tanh"


def test_missing_arrays_are_named(on_preset, model_config, tmp_path):
    classifier = on_preset()
    enable_lora(classifier, 1)
    path = tmp_path / "a.safetensors"
    save_adapter(classifier, model_config, path)
    arrays, metadata = load_file(path), header_of(path)
    arrays.pop("logits/kernel")
    save_file(arrays, path, metadata=metadata)
    with pytest.raises(InputError, match="damaged: it lacks logits/kernel"):
        load_adapter(path)


def test_arrays_of_another_type_or_shape_are_refused(on_preset, model_config, tmp_path):
    classifier = on_preset()
    enable_lora(classifier, 1)
    path = tmp_path / "a.safetensors"
    save_adapter(classifier, model_config, path)
    arrays, metadata = load_file(path), header_of(path)
    name = "logits/kernel"
    for wrong in (arrays[name].astype(np.float64), arrays[name][:-1]):
        save_file(arrays | {name: wrong}, path, metadata=metadata)
        with pytest.raises(
            InputError, match=r"is not as it was saved: logits/kernel is"
        ):
            load_adapter(path)

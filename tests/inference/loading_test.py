import json
import shutil
import threading
import zipfile

import keras
import numpy as np
import pytest

import sentiment
from sentiment import bundled
from sentiment.compression.quantization import quantize
from sentiment.config import BUNDLED_CLASSIFIER, ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.half_precision import save_half_precision
from sentiment.models.lora import enable_lora, save_adapter
from sentiment.models.presets import load_pretrained
from tests.conftest import ROOT
from tests.models import at_once

TEXTS = ["A GREAT film!", "bad", ""]
OLD_MODELS = sorted(ROOT.glob("tests/data_files/saved_models/*/*.keras"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, real_classifier):
    """`(folder, classifier)`: what a run leaves."""
    folder = tmp_path_factory.mktemp("saved")
    real_classifier.save(folder / "model.keras")
    real_classifier.save_to_preset(folder / "preset")
    return folder, real_classifier


def refused(path):
    with pytest.raises(InputError) as error:
        load_classifier(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("place", ["", "model.keras", "preset"])
def test_workdir_file_and_preset_hold_the_whole_classifier(saved, place):
    folder, classifier = saved
    loaded = load_classifier(folder / place)
    assert loaded.label_names == ("bad", "so so", "good")
    assert loaded.pooling == "attention"
    for name in ("sequence_length", "truncation", "lowercase"):
        expected = getattr(classifier.preprocessor, name)
        assert getattr(loaded.preprocessor, name) == expected
    texts = [*TEXTS, "one two three four five six seven eight nine ten eleven"]
    tokens = [c.preprocessor.encode(texts).tokens for c in (loaded, classifier)]
    assert tokens[0].flat.tolist() == tokens[1].flat.tolist()
    for a, b in zip(loaded.weights, classifier.weights, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_loaded_classifier_predicts_the_same(saved):
    folder, classifier = saved
    expected = classifier.predict(TEXTS)
    found = load_classifier(str(folder)).predict(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED"), ModuleNotFoundError()]
)
def test_what_is_no_fault_of_the_file_is_not_called_damaged(saved, monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(keras.saving, "load_model", fail)
    with pytest.raises(type(error)) as raised:
        load_classifier(saved[0])
    assert raised.value is error


@pytest.mark.parametrize("place", ["", "model.keras", "preset"])
def test_several_threads_load_at_once(saved, place):
    folder, classifier = saved
    expected, found = classifier.predict(TEXTS), []
    together = threading.Barrier(4)

    def load():
        together.wait()
        try:
            found.append(load_classifier(folder / place).predict(TEXTS))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for probabilities in found:
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("place", ["model.keras", "preset", "int8.keras", "adapter"])
def test_each_saved_form_answers_threads_and_takes_interruptions(saved, place):
    folder, _ = saved
    if place == "int8.keras":
        other = load_classifier(folder)
        quantize(other, "int8")
        other.save(folder / place)
    elif place == "adapter":
        place = save_lora(folder)
    loaded = load_classifier(folder / place)
    expected = loaded.predict(at_once.TEXTS)
    at_once.check_threads(loaded, expected, calls=100)
    at_once.check_interruptions(loaded, expected, times=6)
    found = load_classifier(folder / place).predict(at_once.TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def save_lora(folder):
    """Saves an adapter of the preset beside it; returns its path."""
    config = ModelConfig(preset=str(folder / "preset"), pooling="mean", lowercase=True)
    backbone, preprocessor = load_pretrained(config)
    tuned = sentiment.GPT2TextClassifier(
        backbone, 2, preprocessor, config.pooling, config.dropout
    )
    enable_lora(tuned, 2, ("query",), 4)
    path = folder / "adapter.safetensors"
    save_adapter(tuned, config, path)
    return path.name


def test_a_file_that_can_be_read_is_not_called_damaged(saved, monkeypatch):
    def fail(_):
        raise ValueError("no such device")

    monkeypatch.setattr(keras.saving, "load_model", fail)
    message = refused(saved[0] / "model.keras")
    assert "no such device" in message and "all of it can be read" in message
    assert "damaged" not in message


@pytest.mark.parametrize("path", OLD_MODELS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_model_of_an_old_commit_predicts_what_it_did(path):
    expected = json.loads((path.parent / "expected.json").read_text())
    loaded = load_classifier(path)
    found = loaded.predict(expected["texts"])
    # Processors round otherwise.
    np.testing.assert_allclose(
        found, expected["probabilities"][path.name], rtol=0, atol=1e-6
    )
    assert loaded.label_names == ("bad", "good")
    assert loaded.temperature == 1.0


def test_there_are_models_of_old_commits():
    assert {path.stem for path in OLD_MODELS} >= {"gpt2", "gpt2_int8", "lstm"}


def test_missing_model_is_named(tmp_path):
    assert "no model" in refused(tmp_path / "none.keras")
    assert "no model" in refused(tmp_path / "none")


def test_folder_without_a_model_says_what_it_lacks(tmp_path):
    message = refused(tmp_path)
    assert "model.keras" in message
    assert "task.json" in message


@pytest.mark.parametrize("size", [0, 10, 5000, -100])
def test_truncated_file_is_damaged(saved, tmp_path, size):
    content = (saved[0] / "model.keras").read_bytes()
    path = tmp_path / "model.keras"
    path.write_bytes(content[:size])
    assert "damaged" in refused(path)


def test_one_wrong_byte_in_the_weights_is_noticed(saved, tmp_path):
    path = tmp_path / "model.keras"
    content = bytearray((saved[0] / "model.keras").read_bytes())
    with zipfile.ZipFile(saved[0] / "model.keras") as archive:
        weights = archive.getinfo("model.weights.h5")
    content[weights.header_offset + weights.file_size * 2 // 3] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refused(path)


@pytest.mark.parametrize("content", [b"not a model", b"PK\x03\x04 not a zip"])
def test_other_file_is_no_model(tmp_path, content):
    for name in ("model.keras", "model.txt"):
        (tmp_path / name).write_bytes(content)
        assert "no Keras model" in refused(tmp_path / name)


def test_archive_without_weights_is_incomplete(saved, tmp_path):
    path = tmp_path / "model.keras"
    with (
        zipfile.ZipFile(saved[0] / "model.keras") as before,
        zipfile.ZipFile(path, "w") as after,
    ):
        for name in before.namelist():
            if name != "model.weights.h5":
                after.writestr(name, before.read(name))
    assert "incomplete" in refused(path)


def test_other_keras_model_is_named(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.save(tmp_path / "model.keras")
    assert "holds a Functional" in refused(tmp_path / "model.keras")


def test_classifier_without_preprocessor_reads_no_text(make_backbone, tmp_path):
    classifier = sentiment.GPT2TextClassifier(make_backbone(num_layers=1), 2)
    classifier.save(tmp_path / "model.keras")
    assert "without preprocessor" in refused(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "missing",
    [
        "config.json",
        "model.weights.h5",
        "task.weights.h5",  # without it KerasHub makes a random head
        "assets/tokenizer/merges.txt",
    ],
)
def test_preset_that_lacks_a_file_is_incomplete(saved, tmp_path, missing):
    preset = tmp_path / "preset"
    shutil.copytree(saved[0] / "preset", preset)
    (preset / missing).unlink()
    message = refused(preset)
    assert "incomplete" in message
    assert missing.rsplit(".", 1)[0] in message


def test_preset_of_a_backbone_alone_is_no_classifier(make_backbone, tmp_path):
    make_backbone(num_layers=1).save_to_preset(tmp_path)
    assert "task.json" in refused(tmp_path)


def test_preset_with_broken_json_is_damaged(saved, tmp_path):
    preset = tmp_path / "preset"
    shutil.copytree(saved[0] / "preset", preset)
    (preset / "task.json").write_text("{")
    assert "damaged" in refused(preset)


def test_a_bundled_classifier_is_loaded_by_name(saved, tmp_path, monkeypatch):
    folder, classifier = saved
    save_half_precision(folder / "preset", tmp_path / "tiny")
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    found = load_classifier("tiny").predict(TEXTS)
    np.testing.assert_allclose(found, classifier.predict(TEXTS), rtol=0, atol=2e-3)
    weights = [weight.dtype for weight in load_classifier("tiny").backbone.weights]
    assert set(weights) == {"float32"}


def test_a_language_model_that_comes_along_is_no_classifier():
    message = refused("imdb_mini")
    assert "is a language model" in message
    known = refused("nowhere").split("comes with this package: ")[1]
    assert known == f"{BUNDLED_CLASSIFIER}."


def test_a_run_that_was_stopped_while_it_was_published_is_pointed_out(saved, tmp_path):
    folder, _ = saved
    shutil.copy(folder / "model.keras", tmp_path / "model.keras")
    load_classifier(tmp_path)
    (tmp_path / "unfinished").mkdir()
    assert "The same command as before finishes it" in refused(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")  # An older run, and a new one begun.
    load_classifier(tmp_path)


def test_a_tokenizer_with_more_tokens_than_the_backbone_is_refused(saved, tmp_path):
    folder, _ = saved
    shutil.copytree(folder / "preset", tmp_path / "preset")
    (file,) = (tmp_path / "preset").glob("**/vocabulary.json")
    vocabulary = json.loads(file.read_text())
    more = {f"more{i}": len(vocabulary) + i for i in range(5)}
    file.write_text(json.dumps(vocabulary | more))
    assert "Take both from one preset" in refused(tmp_path / "preset")


def test_tokens_that_share_an_id_are_refused(saved, tmp_path):
    folder, _ = saved
    shutil.copytree(folder / "preset", tmp_path / "preset")
    (file,) = (tmp_path / "preset").glob("**/vocabulary.json")
    vocabulary = json.loads(file.read_text())
    vocabulary[max(vocabulary, key=vocabulary.get)] = 5
    file.write_text(json.dumps(vocabulary))
    assert "must have an id of its own" in refused(tmp_path / "preset")

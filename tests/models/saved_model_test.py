import json
import pickle
import shutil
import sys
import tempfile
import zipfile

import keras
import numpy as np
import pytest

from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models import saved_model
from sentiment.models.presets import load_pretrained

TEXTS = ["good film", "bad film"]


@pytest.fixture(scope="session")
def saved(real_classifier, tmp_path_factory):
    """A folder with the two forms of a model."""
    folder = tmp_path_factory.mktemp("saved")
    real_classifier.save(folder / "model.keras")
    real_classifier.save_to_preset(str(folder / "preset"))
    return folder


def changed(value, key, new):
    """JSON with another value for a key, wherever it stands."""
    if isinstance(value, dict):
        return {k: new if k == key else changed(v, key, new) for k, v in value.items()}
    return [changed(v, key, new) for v in value] if isinstance(value, list) else value


@pytest.fixture(params=["model.keras", "preset"])
def tampered(saved, tmp_path, with_members, request):
    """Saves the model with another value for a key of its configuration."""

    def tamper(key, new):
        if request.param == "model.keras":
            config = changed(saved_config(saved), key, new)
            return with_members(**{"config.json": json.dumps(config)})
        path = tmp_path / "preset"
        shutil.copytree(saved / "preset", path)
        for file in path.glob("*.json"):
            config = json.loads(file.read_text())
            file.write_text(json.dumps(changed(config, key, new)))
        return path

    return tamper


def saved_config(saved):
    """The configuration in the archive."""
    with zipfile.ZipFile(saved / "model.keras") as archive:
        return json.loads(archive.read("config.json"))


def test_a_model_as_it_was_saved_loads(saved, real_classifier):
    for name in ("model.keras", "preset"):
        loaded = load_classifier(saved / name)
        np.testing.assert_array_equal(
            loaded.predict(TEXTS), real_classifier.predict(TEXTS)
        )


@pytest.mark.parametrize(
    ("key", "new", "message"),
    [
        ("num_layers", 10**7, "num_layers=10000000; it must be an integer from 1 to"),
        ("hidden_dim", 65_536, "its files hold"),
        ("vocabulary_size", 2**20, "its files hold"),
        ("vocabulary_size", "many", "vocabulary_size='many'"),
        ("sequence_length", -1, "sequence_length=-1"),
        ("label_names", [1, 2, 3], r"names its 3 classes \[1, 2, 3\]"),
        ("label_names", ["a", "b"], "names its 3 classes"),
        ("label_names", ["a", "b", "a"], "names its 3 classes"),
        ("label_names", "abc", "names its 3 classes 'abc'"),
    ],
)
def test_what_a_file_says_is_not_believed(tampered, key, new, message):
    with pytest.raises(InputError, match=message):
        load_classifier(tampered(key, new))


@pytest.mark.parametrize(
    ("key", "new", "message"),
    [
        ("n_layer", 10**7, "n_layer=10000000; it must be an integer from 1 to"),
        ("n_embd", 65_536, "its files hold"),
        ("vocab_size", True, "vocab_size=True"),
    ],
)
def test_what_a_folder_of_hugging_face_says_is_not_believed(
    tmp_path, vocabulary, write_huggingface_folder, key, new, message
):
    write_huggingface_folder(tmp_path, *vocabulary)
    load_pretrained(ModelConfig(preset=str(tmp_path)))
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: new}))
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=str(tmp_path)))


def test_a_huge_configuration_is_not_read(tampered, monkeypatch):
    monkeypatch.setattr(saved_model, "MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="at most 0 MB can be meant"):
        load_classifier(tampered("name", "x" * 200_000))


class Mark:
    """An object whose unpickling leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def with_members(saved, tmp_path):
    """Saves the model's archive with other members, `None` for none."""

    def save(**changes):
        path = tmp_path / "model.keras"
        with (
            zipfile.ZipFile(saved / "model.keras") as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as fresh,
        ):
            contents = {name: old.read(name) for name in old.namelist()} | changes
            for name, content in contents.items():
                if content is not None:
                    fresh.writestr(name, content)
        return path

    return save


@pytest.fixture
def mark(tmp_path):
    """The path of a file that code in a model would leave."""
    return tmp_path / "mark"


def code_in_a_layer(mark):
    inputs, path = keras.Input((2,)), str(mark)
    layer = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])
    model = keras.Model(inputs, layer(inputs))
    mark.unlink(missing_ok=True)  # Building has run it.
    return keras.saving.serialize_keras_object(model)


def code_of(module, name, *arguments):
    def serialized(mark):
        return {
            "module": module,
            "class_name": name,
            "registered_name": None,
            "config": {"name": "x", "args": [a.format(mark) for a in arguments]},
        }

    return serialized


def function_of(module, name):
    def serialized(mark):
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": "function",
        } | ({"module": module} if module else {})

    return serialized


HOSTILE = {
    "code in a layer": code_in_a_layer,
    "a class of another module": code_of("planted", "Planted"),
    "a system call": code_of("os", "system", "touch {}"),
    "a process": code_of("subprocess", "Popen", "touch", "{}"),
    "a builtin": code_of("builtins", "eval", "open({!r}, 'w')"),
    "a function of another module": function_of("planted", "planted"),
    "a download": function_of("keras.utils", "get_file"),
}


@pytest.fixture
def planted(tmp_path, mark, monkeypatch):
    """A module on the path that leaves the mark when it is imported."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "planted.py").write_text(
        f"open({str(mark)!r}, 'w')\nclass Planted: pass\ndef planted(x): return x\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("planted", None)


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("place", ["all of it", "preprocessor", "pooling"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_model_file_runs_no_code(saved, with_members, mark, what, place):
    hostile, config = HOSTILE[what](mark), saved_config(saved)
    config = hostile if place == "all of it" else changed(config, place, hostile)
    path = with_members(**{"config.json": json.dumps(config)})
    with pytest.raises(InputError):
        load_classifier(path)
    assert not mark.exists()


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("place", ["all of it", "backbone", "preprocessor"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_preset_runs_no_code(saved, tmp_path, mark, what, place):
    hostile, preset = HOSTILE[what](mark), tmp_path / "preset"
    shutil.copytree(saved / "preset", preset)
    config = json.loads((preset / "task.json").read_text())
    config = hostile if place == "all of it" else changed(config, place, hostile)
    (preset / "task.json").write_text(json.dumps(config))
    with pytest.raises(InputError):
        load_classifier(preset)
    assert not mark.exists()


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_pretrained_preset_runs_no_code(saved, tmp_path, mark, what, file):
    shutil.copytree(saved / "preset", tmp_path / "preset")
    (tmp_path / "preset" / file).write_text(json.dumps(HOSTILE[what](mark)))
    with pytest.raises(InputError):
        load_pretrained(ModelConfig(preset=str(tmp_path / "preset")))
    assert not mark.exists()


def test_what_is_pickled_is_not_read(saved, with_members, tmp_path, mark):
    (tmp_path / "pickled.keras").write_bytes(pickle.dumps(Mark(mark)))
    array = tmp_path / "array.npz"
    np.savez(array, **{"__root__": np.array([Mark(mark)], dtype=object)})
    weights = {"model.weights.h5": None, "model.weights.npz": array.read_bytes()}
    for path in (tmp_path / "pickled.keras", with_members(**weights)):
        with pytest.raises(InputError, match="no Keras model"):
            load_classifier(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../mark", "assets/../../mark", "{}", "..\\mark"])
def test_a_path_out_of_the_archive_is_refused(with_members, mark, name):
    path = with_members(**{name.format(mark): "x"})
    with pytest.raises(InputError, match="would lie outside of it"):
        load_classifier(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["assets/a.txt", "other", "model.weights.h5"])
def test_blanks_that_would_fill_the_memory_are_not_unpacked(with_members, name):
    path = with_members(**{name: bytes(saved_model.MAX_BYTES + 1)})
    assert path.stat().st_size < saved_model.MAX_BYTES / 100
    with pytest.raises(InputError, match=r"of 67 MB; at most 67 MB can be meant"):
        load_classifier(path)


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("size", [0, 5000, -100])
def test_a_failed_load_leaves_no_temporary_file(saved, own_temporary_folder, size):
    path = own_temporary_folder.parent / "model.keras"
    path.write_bytes((saved / "model.keras").read_bytes()[:size])
    with pytest.raises(InputError, match="damaged"):
        load_classifier(path)
    assert not list(own_temporary_folder.iterdir())


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json", "vocabulary.json"])
def test_a_wrong_byte_leaves_no_temporary_file(saved, own_temporary_folder, name):
    content = bytearray((saved / "model.keras").read_bytes())
    with zipfile.ZipFile(saved / "model.keras") as archive:
        (info,) = (i for i in archive.infolist() if i.filename.endswith(name))
    content[info.header_offset + 100 + info.compress_size // 2] ^= 0xFF
    path = own_temporary_folder.parent / "model.keras"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_classifier(path)
    assert not list(own_temporary_folder.iterdir())

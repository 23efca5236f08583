import json
import shutil
import zipfile

import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.inference import saved_config
from sentiment.inference.loading import load_classifier

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
def tampered(saved, tmp_path, request):
    """Saves the model with another value for a key of its configuration."""

    def tamper(key, new):
        path = tmp_path / request.param
        if request.param == "preset":
            shutil.copytree(saved / "preset", path)
            for file in path.glob("*.json"):
                config = json.loads(file.read_text())
                file.write_text(json.dumps(changed(config, key, new)))
            return path
        with (
            zipfile.ZipFile(saved / request.param) as old,
            zipfile.ZipFile(path, "w") as fresh,
        ):
            for info in old.infolist():
                content = old.read(info.filename)
                if info.filename == "config.json":
                    config = changed(json.loads(content), key, new)
                    content = json.dumps(config).encode()
                fresh.writestr(info.filename, content)
        return path

    return tamper


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


def test_a_huge_configuration_is_not_read(tampered, monkeypatch):
    monkeypatch.setattr(saved_config, "MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="a configuration has at most"):
        load_classifier(tampered("name", "x" * 200_000))

import h5py
import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.half_precision import save_half_precision


@pytest.fixture
def preset(tmp_path):
    folder = tmp_path / "preset"
    (folder / "assets").mkdir(parents=True)
    for name in ("config.json", "metadata.json"):
        (folder / name).write_text("{}")
    (folder / "assets" / "vocab.json").write_text("{}")
    with h5py.File(folder / "model.weights.h5", "w") as file:
        file.attrs["version"] = "3"
        file["layer/vars/0"] = np.float32([[1.0, 1 / 3, -2e-3]])
        file["layer/vars/1"] = np.int32([70000])
        file["layer"].attrs["name"] = "dense"
        file.create_group("empty")
    return folder


def test_weights_are_halved_and_all_else_stays(preset, tmp_path):
    save_half_precision(preset, tmp_path / "half")
    assert (tmp_path / "half" / "assets" / "vocab.json").read_text() == "{}"
    with h5py.File(tmp_path / "half" / "model.weights.h5") as file:
        weight = file["layer/vars/0"]
        assert weight.dtype == np.float16
        np.testing.assert_allclose(weight[()], [[1.0, 1 / 3, -2e-3]], rtol=1e-3)
        assert file["layer/vars/1"][()] == [70000]
        assert (file.attrs["version"], file["layer"].attrs["name"]) == ("3", "dense")
        assert "empty" in file


def test_what_float16_cannot_hold_is_refused(preset, tmp_path):
    with h5py.File(preset / "model.weights.h5", "a") as file:
        file["layer/vars/0"][0, 1] = 70000.0
    with pytest.raises(InputError, match=r"layer/vars/0 reaches 7e\+04"):
        save_half_precision(preset, tmp_path / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_damaged_weights_leave_nothing(preset, tmp_path):
    path = preset / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be copied"):
        save_half_precision(preset, tmp_path / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_no_preset_and_an_existing_target_are_refused(preset, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no preset"):
            save_half_precision(folder, tmp_path / "half")
    with pytest.raises(InputError, match="exists"):
        save_half_precision(preset, preset)

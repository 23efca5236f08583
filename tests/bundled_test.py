import pytest

from sentiment import bundled
from sentiment.bundled import bundled_presets, check_name
from sentiment.errors import InputError


def test_presets_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    assert bundled_presets() == {"mine": tmp_path / "mine"}


@pytest.mark.parametrize("name", ["gpt2_base_en", "__init__", "_mine"])
def test_a_name_hides_nothing(name):
    with pytest.raises(InputError, match="is taken"):
        check_name(name)
    check_name("mine")


from sentiment import bundled
from sentiment.bundled import bundled_presets

MAX_BYTES = 25_000_000


def test_presets_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    assert bundled_presets() == {"mine": tmp_path / "mine"}

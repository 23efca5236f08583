import pytest

from sentiment import bundled
from sentiment.bundled import FOLDER, bundled_presets
from sentiment.compression import bundle as module
from sentiment.compression.bundle import bundle
from sentiment.config import BackboneConfig
from sentiment.errors import InputError
from sentiment.models.presets import load_backbone

LANGUAGE_MODEL = "imdb_mini"


@pytest.fixture
def place(monkeypatch):
    """Puts what is bundled into another folder."""

    def place(folder):
        for owner in (bundled, module):
            monkeypatch.setattr(owner, "FOLDER", folder)

    return place


@pytest.mark.parametrize("name", ["gpt2_base_en", "__init__", "_mine"])
def test_a_name_hides_nothing(name, tmp_path, place):
    place(tmp_path)
    with pytest.raises(InputError, match="is taken"):
        bundle(str(FOLDER / LANGUAGE_MODEL), name)
    assert not list(tmp_path.iterdir())


def test_what_is_bundled_is_found_and_loads(tmp_path, place):
    original = bundled_presets()[LANGUAGE_MODEL]
    place(tmp_path / "new")
    bundle(str(original), "mine")
    assert bundled_presets() == {"mine": tmp_path / "new" / "mine"}
    load_backbone(BackboneConfig(preset="mine", lowercase=True))
    with pytest.raises(InputError, match="exists"):
        bundle(str(original), "mine")


def test_a_package_that_cannot_be_written_says_so(tmp_path, place):
    (tmp_path / "file").touch()
    place(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be copied to"):
        bundle(str(FOLDER / LANGUAGE_MODEL), "mine")

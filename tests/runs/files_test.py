import pytest

from sentiment.runs.files import is_adapter, stage_folders


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/imdb/adapter.safetensors", True),
        ("mine.safetensors", True),  # renamed
        ("runs/adapter.safetensors/model.keras", False),
        ("imdb_mini_sentiment", False),
    ],
)
def test_an_adapter_is_known_by_its_ending(path, expected):
    assert is_adapter(path) == expected


def test_the_stages_of_a_run_have_folders_of_their_own(tmp_path):
    folders = stage_folders(tmp_path)
    assert list(folders) == ["language_model", "classifier"]
    assert {folder.parent for folder in folders.values()} == {tmp_path}

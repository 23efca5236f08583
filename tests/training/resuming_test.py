import dataclasses
from types import SimpleNamespace

import pytest

from sentiment.config import CorpusConfig
from sentiment.data.packing import RaggedTokens
from sentiment.errors import InputError
from sentiment.training.resuming import check_same_run, identity

CONFIG = SimpleNamespace(seed=0)


def documents(*sequences):
    return SimpleNamespace(tokens=RaggedTokens.from_sequences(sequences))


@pytest.fixture
def corpus(tmp_path):
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("text")
    return CorpusConfig(text_files=tuple(map(str, paths)))


def made(corpus, reader="r", data=((1, 2), (3,)), config=CONFIG):
    return identity(config, [corpus], reader, documents(*data))


def differences(old, new):
    with pytest.raises(InputError, match="checkpoints of another run") as error:
        check_same_run(old, new, "folder")
    return str(error.value).split("\n  ")[1:]


def test_the_same_run_passes(corpus):
    check_same_run(made(corpus), made(corpus), "folder")


def test_all_that_differs_is_listed(corpus, tmp_path):
    old = made(corpus)
    (tmp_path / "b.txt").write_text("other")
    changed = dataclasses.replace(corpus, validation_fraction=0.5)
    assert differences(old, made(changed, config=SimpleNamespace(seed=1))) == [
        "--validation_fraction: 0.01 then, 0.5 now",
        "--seed: 0 then, 1 now",
        f"--text_files: {tmp_path / 'b.txt'} has changed since then",
    ]


@pytest.mark.parametrize(
    "change", [{"reader": "other"}, {"data": ((1, 2), (4,))}, {"data": ((1,), (2, 3))}]
)
def test_data_that_come_from_no_file_are_compared_too(corpus, change):
    old = made(corpus)
    assert differences(old, made(corpus, **change)) == [
        "the data have changed since then"
    ]


def test_what_changes_no_number_may_differ(corpus):
    other = dataclasses.replace(corpus, tfds_data_dir="elsewhere")
    check_same_run(made(corpus), made(other), "folder")


def test_checkpoints_of_another_format_are_refused(corpus):
    old = made(corpus)
    assert differences(old | {"format": 1}, made(corpus)) == [
        "they were written by another version of this package"
    ]
    del old["format"]  # as the first ones
    assert differences(old, made(corpus))

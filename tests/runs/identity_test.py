import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from sentiment.config import CorpusConfig, UnlabelledConfig
from sentiment.data.packing import RaggedTokens
from sentiment.errors import InputError
from sentiment.runs.identity import check_same_run, identity


def config_of(group, seed=0):
    return SimpleNamespace(groups=(group,), seed=seed)


def documents(*sequences):
    return SimpleNamespace(tokens=RaggedTokens.from_sequences(sequences))


@pytest.fixture
def corpus(tmp_path):
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("text")
    return CorpusConfig(text_files=tuple(map(str, paths)))


def made(corpus, preprocessor="p", data=((1, 2), (3,)), seed=0):
    return identity(config_of(corpus, seed), preprocessor, documents(*data))


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
    assert differences(old, made(changed, seed=1)) == [
        "--validation_fraction: 0.01 then, 0.5 now",
        "--seed: 0 then, 1 now",
        f"--text_files: {tmp_path / 'b.txt'} has changed since then",
    ]


def test_a_setting_that_came_later_was_at_its_default(corpus):
    old = made(corpus)
    for name in ("encoding", "quoting", "columns"):
        del old["settings"][name]
    check_same_run(old, made(corpus), "folder")
    changed = dataclasses.replace(corpus, encoding="cp1252")
    assert differences(old, made(changed)) == ["--encoding:  then, cp1252 now"]


def test_a_path_that_is_not_given_reads_nothing_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "another.h5").touch()
    config = config_of(UnlabelledConfig(unlabelled_file=""))
    assert identity(config, "p", documents((1,)))["files"] == {}


@pytest.mark.parametrize(
    "change",
    [{"data": ((1, 2), (4,))}, {"data": ((1,), (2, 3))}],
)
def test_data_that_come_from_no_file_are_compared_too(corpus, change):
    old = made(corpus)
    assert differences(old, made(corpus, **change)) == [
        "the data have changed since then"
    ]


def test_another_way_of_reading_texts_is_not_taken_for_other_data(corpus):
    assert differences(made(corpus), made(corpus, preprocessor="other")) == [
        "texts are read by another version of this package"
    ]


def test_what_changes_no_number_may_differ(corpus):
    other = dataclasses.replace(corpus, tfds_data_dir="elsewhere")
    check_same_run(made(corpus), made(other), "folder")


def test_checkpoints_of_another_format_are_refused(corpus):
    old = made(corpus)
    for other in (old | {"format": 2}, {k: v for k, v in old.items() if k != "format"}):
        with pytest.raises(InputError, match="checkpoints of another version"):
            check_same_run(other, made(corpus), "folder")


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_model_whose_weights_were_changed_is_named(tmp_path, name):
    (tmp_path / name).write_text("weights")
    (tmp_path / "metrics.json").write_text("1")
    unlabelled = UnlabelledConfig(teacher=str(tmp_path))
    old = made(unlabelled)
    (tmp_path / "metrics.json").write_text("2")
    check_same_run(old, made(unlabelled), "folder")
    (tmp_path / name).write_text("others")
    assert differences(old, made(unlabelled)) == [
        f"--teacher: {tmp_path} has changed since then"
    ]


def test_a_teachers_labels_may_differ_in_the_last_bits(corpus):
    def labelled(labels):
        examples = documents((1,), (2,))
        examples.labels = np.array(labels, np.float32)
        return identity(config_of(corpus), "r", examples)

    old = labelled([[0.25, 0.75], [0.6, 0.4]])
    check_same_run(old, labelled([[0.2500001, 0.75], [0.6, 0.4]]), "folder")
    assert differences(old, labelled([[0.75, 0.25], [0.6, 0.4]]))


def test_a_file_may_be_named_from_elsewhere(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(corpus, text_files=("a.txt", "b.txt"))
    old = made(relative)
    check_same_run(old, made(corpus), "folder")
    (tmp_path / "a.txt").write_text("other")
    assert differences(old, made(corpus))

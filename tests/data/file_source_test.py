import pytest

from sentiment.config import TableConfig
from sentiment.data import file_source
from sentiment.data.file_source import FileSource
from sentiment.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name, *rows, header="text,label"):
        path = tmp_path / name
        path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
        return path

    return write


@pytest.fixture
def count_reads(monkeypatch):
    reads = []
    read_labelled = file_source.read_labelled

    def counted(path, *options, **labels):
        reads.append(path.name)
        return read_labelled(path, *options, **labels)

    monkeypatch.setattr(file_source, "read_labelled", counted)
    return reads


def open_files(skip_bad_rows=False, label_names=(), **paths):
    return FileSource(paths, TableConfig(skip_bad_rows=skip_bad_rows), "", label_names)


def test_texts_and_labels_of_each_split(write):
    source = open_files(
        train=write("a.csv", "good,pos", "bad,neg"), test=write("b.csv", "so,pos")
    )
    assert source.splits == ("train", "test")
    assert source.label_names == ("neg", "pos")
    train, test = source.read("train"), source.read("test")
    assert (train.texts, train.labels.tolist()) == (["good", "bad"], [1, 0])
    assert (test.texts, test.labels.tolist()) == (["so"], [1])


def test_a_label_that_training_lacks_is_an_input_error(write):
    source = open_files(
        train=write("a.csv", "good,pos", "bad,neg"), test=write("b.csv", "so,mixed")
    )
    with pytest.raises(InputError, match="'mixed' is not in"):
        source.read("test")


def test_given_names_decide_the_classes(write):
    train = write("a.csv", "good,pos", "bad,neg")
    source = open_files(train=train, label_names=["pos", "neg", "mixed"])
    assert source.label_names == ("pos", "neg", "mixed")
    assert source.read("train").labels.tolist() == [0, 1]


def test_columns_are_those_named(write):
    path = write("a.csv", "1,good,pos", "2,bad,neg", header="id,review,stars")
    source = FileSource({"train": path}, TableConfig(text_column="review"), "stars")
    assert source.read("train").texts == ["good", "bad"]


def test_each_file_is_read_once(write, count_reads):
    source = open_files(
        train=write("a.csv", "good,pos", "bad,neg"), test=write("b.csv", "so,pos")
    )
    source.read("train")
    source.read("test")
    assert count_reads == ["a.csv", "b.csv"]


def test_a_missing_file_is_reported_before_any_is_read(write, tmp_path, count_reads):
    with pytest.raises(InputError, match="missing"):
        open_files(train=write("a.csv", "good,pos"), test=tmp_path / "missing.csv")
    assert count_reads == []


def test_skipped_rows_are_counted_as_splits_are_read(write):
    source = open_files(
        train=write("a.csv", "good,pos", "bad,neg", "none,"),
        test=write("b.csv", "so,pos", "so,", "so,mixed"),
        skip_bad_rows=True,
    )
    source.read("train")
    assert source.num_skipped_rows == 1
    source.read("test")
    assert source.num_skipped_rows == 3

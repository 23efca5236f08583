import pytest

from sentiment.config import (
    CorpusConfig,
    DataConfig,
    UnlabelledConfig,
)
from sentiment.errors import InputError


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "train_file": "a.csv"},
        {"dataset": "imdb_reviews", "test_file": "a.csv"},
    ],
)
def test_data_is_a_data_set_or_own_files(settings):
    with pytest.raises(InputError, match="either --dataset or own files"):
        DataConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "train_file": "a.csv"},
        {"dataset": "imdb_reviews", "validation_file": "a.csv"},
        {"dataset": "imdb_reviews", "test_file": "a.csv"},
    ],
)
def test_data_is_either_a_data_set_or_own_files(settings):
    with pytest.raises(InputError, match="Give either --dataset or own files"):
        DataConfig(**settings)


def test_test_data_alone_is_enough_to_evaluate():
    assert DataConfig(test_file="a.csv").train_file == ""


@pytest.mark.parametrize("name", ["text_column", "label_column", "label_names"])
def test_the_bundled_reviews_take_no_columns_and_names(name):
    value = ("a", "b") if name == "label_names" else "x"
    with pytest.raises(InputError, match=f"Leave out --{name}"):
        DataConfig(dataset="quickstart", **{name: value})


@pytest.mark.parametrize("names", [("a", ""), ("a", " "), ("a", "a"), ("a", "a ")])
def test_label_names_are_different_and_not_empty(names):
    with pytest.raises(InputError, match="--label_names must be different names"):
        DataConfig(train_file="a.csv", label_names=names)


def test_text_and_label_are_two_columns():
    with pytest.raises(InputError, match=r"must differ\. Received: 'x'"):
        DataConfig(train_file="a.csv", text_column="x", label_column="x")


def test_text_files_have_no_splits():
    with pytest.raises(InputError, match="--splits are of --dataset"):
        CorpusConfig(text_files=("a.txt",), splits=("train", "unsupervised"))


def test_unlabelled_texts_come_from_one_place():
    with pytest.raises(InputError, match="either --unlabelled_split or"):
        UnlabelledConfig("nb_svm", "unsupervised", "a.txt")


@pytest.mark.parametrize(
    ("columns", "both"),
    [({"text_column": "label"}, "label"), ({"label_column": "text "}, "text")],
)
def test_columns_differ_also_where_one_is_left_out(columns, both):
    with pytest.raises(InputError, match=rf"must differ\. Received: '{both}' for both"):
        DataConfig(train_file="a.csv", **columns)
    # A TFDS set has its own defaults.
    assert DataConfig(dataset="imdb_reviews", **columns)


def test_a_label_map_is_for_own_files():
    with pytest.raises(InputError, match="--label_map is for own files"):
        DataConfig(dataset="imdb_reviews", label_map=("1:a",))


def test_a_label_map_names_classes_that_there_are():
    maps = {"label_map": ("1-2:bad", "3:so"), "label_names": ("bad", "good")}
    with pytest.raises(InputError, match="--label_map names 'so', the --label_names"):
        DataConfig(train_file="a.csv", **maps)

import dataclasses
import shutil
from types import MappingProxyType

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sentiment.config import DataConfig
from sentiment.data import tfds_source
from sentiment.data.datasets import load_split, load_splits
from sentiment.data.tfds_source import (
    TfdsSource,
    read_tfds_labelled,
    read_tfds_texts,
)
from sentiment.errors import InputError

TEXT, CLASSES = tfds.features.Text(), tfds.features.ClassLabel(names=["neg", "pos"])
SPLITS = {"train": [0, 1, 1, 0, 1], "test": [1, 0]}
SPLITS_WITH_SECRET_TEST = {"train": [0, 1], "validation": [1, 0, 0], "test": [-1, -1]}


def features(**kinds):
    return tfds.features.FeaturesDict(kinds)


class ToyReviews(tfds.core.GeneratorBasedBuilder):
    """Fewer than 100 rows a split; each text tells its label."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = SPLITS
    KINDS = MappingProxyType({"text": TEXT, "label": CLASSES})

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=features(**self.KINDS))

    def _split_generators(self, download_manager):
        return {name: self._generate_examples(name) for name in self.SPLITS}

    def _generate_examples(self, split):
        for i, label in enumerate(self.SPLITS[split]):
            row = {"text": f"{split} {i} of {label} é", "label": label}
            yield i, {name: row.get(name, row["text"]) for name in self.KINDS}


class ToySecretReviews(ToyReviews):
    SPLITS = SPLITS_WITH_SECRET_TEST


class ToyTwoTexts(ToyReviews):
    KINDS = MappingProxyType({"title": TEXT, "body": TEXT, "label": CLASSES})


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    """A TFDS folder with the toy sets, prepared as array_record."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (ToyReviews, ToySecretReviews, ToyTwoTexts, ToyPartlyLabelled):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return str(folder)


class ToyPartlyLabelled(ToyReviews):
    SPLITS = MappingProxyType({"train": [1, -1, 0, -1], "test": [0, 1]})


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(tfds_source, "has_network", lambda host: False)


def open_toy(folder, name="toy_reviews", label_names=(), **settings):
    config = DataConfig(dataset=name, tfds_data_dir=folder, **settings)
    return TfdsSource(config, label_names)


# --- A prepared data set


def test_every_example_is_read_once_with_its_label(toy_folder):
    source = open_toy(toy_folder)
    assert source.splits == ("train", "test")
    assert source.label_names == ("neg", "pos")
    for split, labels in SPLITS.items():
        examples = source.read(split)
        assert sorted(examples.texts) == sorted(
            f"{split} {i} of {label} é" for i, label in enumerate(labels)
        )
        of_texts = [int(text.split()[3]) for text in examples.texts]
        assert examples.labels.tolist() == of_texts
        assert examples.labels.dtype == np.int32


def test_validation_serves_as_test_where_the_test_labels_are_secret(toy_folder):
    source = open_toy(toy_folder, "toy_secret_reviews")
    assert sorted(source.splits) == ["test", "train"]
    texts = source.read("test").texts
    assert sorted(text.split()[0] for text in texts) == ["validation"] * 3


def test_other_class_names_keep_the_order(toy_folder):
    source = open_toy(toy_folder, label_names=["bad", "good"])
    assert source.label_names == ("bad", "good")


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_a_wrong_number_of_class_names_is_an_input_error(toy_folder, names):
    with pytest.raises(InputError, match=r"must name 2 classes.*neg, pos.*a"):
        open_toy(toy_folder, label_names=names)


def test_one_of_several_texts_must_be_named(toy_folder):
    with pytest.raises(InputError, match=r"--text_column .* title, body\. .*label"):
        open_toy(toy_folder, "toy_two_texts")
    source = open_toy(toy_folder, "toy_two_texts", text_column="body")
    assert len(source.read("train")) == 5


# --- Which feature is read


def text_feature(wanted, **kinds):
    return tfds_source._feature(features(**kinds), tfds.features.Text, wanted, "text")


def test_the_only_feature_of_its_kind_is_taken():
    assert text_feature("", label=CLASSES, sentence=TEXT, idx=np.int32) == "sentence"


def test_the_feature_asked_for_is_taken():
    assert text_feature("b", a=TEXT, b=TEXT) == "b"


@pytest.mark.parametrize(
    ("wanted", "kinds", "message"),
    [
        ("", {"a": TEXT, "b": TEXT}, r"text features: a, b\. All its features: a, b\."),
        ("", {"label": CLASSES}, r"it has none\. All its features: label"),
        ("label", {"a": TEXT, "label": CLASSES}, r": a\. .*--text_column=label"),
        ("zzz", {"a": TEXT}, r": a\. .*Received: *--text_column=zzz"),
    ],
)
def test_an_unfit_feature_is_an_input_error_with_what_there_is(wanted, kinds, message):
    with pytest.raises(InputError, match=message):
        text_feature(wanted, **kinds)


# --- What cannot be opened


def test_an_unknown_name_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no TFDS data set 'no_such_reviews'"):
        open_toy(str(tmp_path), "no_such_reviews")


def test_an_unknown_config_of_a_known_set_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="glue/nothing"):
        open_toy(str(tmp_path), "glue/nothing")


def test_without_network_an_unprepared_set_is_an_input_error_at_once(
    tmp_path, no_network, monkeypatch
):
    def download(self, **_):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    with pytest.raises(InputError, match="no network to download") as error:
        open_toy(str(tmp_path), "imdb_reviews")
    assert str(tmp_path) in str(error.value)


def test_an_unprepared_set_is_prepared_as_array_record(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "has_network", lambda host: True)
    source = open_toy(str(tmp_path))
    assert len(source.read("train")) == 5
    assert list(tmp_path.glob("toy_reviews/1.0.0/*.array_record*"))


def test_a_failing_download_is_an_input_error_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "has_network", lambda host: True)

    def download(self, **_):
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    with pytest.raises(InputError, match=r"'imdb_reviews': the line is dead"):
        open_toy(str(tmp_path), "imdb_reviews")


# --- Real data


def test_imdb_reviews(shared_data):
    source = open_toy(str(shared_data / "tfds"), "imdb_reviews")
    assert source.splits == ("train", "test")
    assert source.label_names == ("neg", "pos")
    for split in source.splits:
        examples = source.read(split)
        assert np.bincount(examples.labels).tolist() == [12_500, 12_500]
        assert len(examples.texts) == 25_000
        assert all(examples.texts)


def test_sst2_is_tested_on_its_validation_and_validated_on_its_train(shared_data):
    config = DataConfig(
        dataset="glue/sst2",
        tfds_data_dir=str(shared_data / "tfds"),
        validation_fraction=0.02,
    )
    splits = load_splits(config, seed=0)
    assert splits.label_names == ("negative", "positive")
    assert np.bincount(splits.test.labels).tolist() == [428, 444]
    assert len(splits.validation) == 1347  # 2% of 67,349
    total = np.bincount(splits.train.labels) + np.bincount(splits.validation.labels)
    assert total.tolist() == [29_780, 37_569]


def test_a_folder_of_tfrecord_files_is_an_input_error_that_names_it(shared_data):
    folder = str(shared_data / "tfds_tfrecord")
    with pytest.raises(InputError, match="tfrecord files, which only") as error:
        open_toy(folder, "glue/sst2")
    assert f"{folder}/glue/sst2/2.0.0" in str(error.value)


def test_names_in_another_order_reorder_the_classes(toy_folder):
    def labels(*names):
        config = DataConfig(dataset="toy_reviews", tfds_data_dir=toy_folder)
        return TfdsSource(config, names).read("train").labels.tolist()

    own = labels()
    assert sorted(own) == sorted(SPLITS["train"])
    assert labels("neg", "pos") == own
    assert labels("bad", "good") == own  # other names, in the set's order
    assert labels("pos", "neg") == [1 - label for label in own]


@pytest.mark.parametrize("names", [("positive", "Negative"), ("pos", "neg")])
def test_a_models_classes_are_matched_by_what_they_are_called(toy_folder, names):
    config = DataConfig(dataset="toy_reviews", tfds_data_dir=toy_folder)
    own = load_split(config, "test", 0, ("neg", "pos")).labels
    assert load_split(config, "test", 0, names).labels.tolist() == (1 - own).tolist()


def test_a_models_classes_of_other_names_need_to_be_told(toy_folder):
    config = DataConfig(dataset="toy_reviews", tfds_data_dir=toy_folder)
    own = load_split(config, "test", 0, ("neg", "pos")).labels
    with pytest.raises(InputError, match="Say which is which: --label_names"):
        load_split(config, "test", 0, ("good", "bad"))
    told = dataclasses.replace(config, label_names=("bad", "good"))
    labels = load_split(told, "test", 0, ("good", "bad")).labels
    assert labels.tolist() == (1 - own).tolist()


def test_a_model_of_more_classes_is_scored_where_that_is_wanted(toy_folder):
    config = DataConfig(dataset="toy_reviews", tfds_data_dir=toy_folder)
    names = ("pos", "neu", "neg")
    with pytest.raises(InputError, match=r"knows 3 .*has 2 .*--data_classes_only"):
        load_split(config, "test", 0, names)
    own = load_split(config, "test", 0, ("neg", "pos")).labels
    found = load_split(config, "test", 0, names, may_lack_classes=True).labels
    assert found.tolist() == (2 - 2 * own).tolist()
    with pytest.raises(InputError, match="Say which is which: --label_names"):
        load_split(config, "test", 0, ("good", "so so", "bad"), may_lack_classes=True)


def test_a_damaged_shard_is_an_input_error(toy_folder, tmp_path):
    folder = shutil.copytree(toy_folder, tmp_path / "tfds")
    for shard in folder.glob("toy_reviews/*/*test*array_record*"):
        shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(InputError, match="cannot be read"):
        TfdsSource(DataConfig(dataset="toy_reviews", tfds_data_dir=str(folder)))


def test_unlabelled_rows_among_labelled_ones_are_left_out_and_counted(toy_folder):
    source = TfdsSource(
        DataConfig(dataset="toy_partly_labelled", tfds_data_dir=toy_folder)
    )
    assert sorted(source.read("train").labels.tolist()) == [0, 1]
    assert source.num_skipped_rows == 2
    source.read("test")
    assert source.num_skipped_rows == 2


# --- Splits by their own names


def test_labelled_splits_by_their_own_names(toy_folder):
    read = read_tfds_labelled("toy_partly_labelled", toy_folder, ["train", "test[:1]"])
    assert sorted(read["train"]) == [
        ("train 0 of 1 é", "pos"),
        ("train 2 of 0 é", "neg"),
    ]
    assert len(read["test[:1]"]) == 1
    renamed = read_tfds_labelled(
        "toy_reviews", toy_folder, ["test"], label_names=("bad", "good")
    )
    assert sorted(renamed["test"]) == [
        ("test 0 of 1 é", "good"),
        ("test 1 of 0 é", "bad"),
    ]


def test_own_names_in_another_order_keep_their_meaning(toy_folder):
    place = ("toy_reviews", toy_folder, ["test"])
    as_they_are = read_tfds_labelled(*place)
    turned = read_tfds_labelled(*place, label_names=("pos", "neg"))
    assert turned == as_they_are


def test_a_split_without_labels_has_none_to_read(toy_folder):
    with pytest.raises(InputError, match="'test' of toy_secret_reviews has no labels"):
        read_tfds_labelled("toy_secret_reviews", toy_folder, ["train", "test"])


@pytest.mark.parametrize("read", [read_tfds_labelled, read_tfds_texts])
def test_an_unknown_split_is_named(toy_folder, read):
    with pytest.raises(InputError, match=r"no split 'dev'. It has: t"):
        read("toy_reviews", toy_folder, ["train", "dev"])

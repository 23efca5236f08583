import csv
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sentiment.config import DataConfig
from sentiment.data import datasets
from sentiment.data.datasets import load_split, load_splits, open_source
from sentiment.data.examples import Examples, SourceKind
from sentiment.errors import InputError

# Of the 40 training examples a quarter is 10: 5, 3 and 2 of the classes.
COUNTS = (20, 12, 8)
ANY = DataConfig(train_file="any.csv", validation_fraction=0.25)


def make_examples(counts, name="train"):
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Examples([f"{name} {i}" for i in range(len(labels))], labels)


class SpySource:
    """A source of made-up examples that records which splits are read."""

    num_skipped_rows = 0

    def __init__(self, label_names=("a", "b", "c"), **splits):
        self.label_names = label_names
        self.splits = tuple(splits)
        self.reads = []
        self._splits = splits

    def read(self, split):
        self.reads.append(split)
        return self._splits[split]


@pytest.fixture
def use_source(monkeypatch):
    """Puts a spy in the place of the source that settings name."""

    def use(counts=COUNTS, test=(9, 6, 3), **splits):
        splits = {"train": make_examples(counts), **splits}
        if test:
            splits["test"] = make_examples(test, "test")
        source = SpySource(**splits)
        monkeypatch.setattr(datasets, "open_source", lambda *_: source)
        return source

    return use


def class_counts(examples):
    return np.bincount(examples.labels).tolist()


def content(examples):
    return examples.texts, examples.labels.tolist()


def test_take_keeps_texts_and_labels_together_in_the_order_asked_for():
    taken = make_examples((2, 2)).take(np.array([3, 0, 3]))
    assert content(taken) == (["train 3", "train 0", "train 3"], [1, 0, 1])
    assert len(taken) == 3


# --- Carving


def test_carving_is_stratified(use_source):
    use_source()
    splits = load_splits(ANY, seed=0)
    assert class_counts(splits.train) == [15, 9, 6]
    assert class_counts(splits.validation) == [5, 3, 2]


def test_carving_is_complete_and_disjoint_and_keeps_labels(use_source):
    source = use_source()
    splits = load_splits(ANY, seed=0)
    carved = splits.train.texts + splits.validation.texts
    assert sorted(carved) == sorted(source._splits["train"].texts)
    labels = dict(zip(*content(source._splits["train"]), strict=True))
    for part in (splits.train, splits.validation):
        assert [labels[text] for text in part.texts] == part.labels.tolist()


def test_carving_is_by_seed(use_source):
    use_source()
    carved = [load_splits(ANY, seed).validation.texts for seed in (0, 0, 1)]
    assert carved[0] == carved[1]
    assert set(carved[0]) != set(carved[2])


def test_carving_does_not_depend_on_the_test_data(use_source):
    use_source()
    carved = load_splits(ANY, seed=0).validation.texts
    use_source(test=None)
    assert load_splits(ANY, seed=0).validation.texts == carved


def test_the_test_split_is_not_read_for_carving(use_source, monkeypatch):
    source = use_source()
    reads_before_carving = []
    carve = datasets._carve

    def spied_carve(*arguments):
        reads_before_carving.extend(source.reads)
        return carve(*arguments)

    monkeypatch.setattr(datasets, "_carve", spied_carve)
    load_splits(ANY, seed=0)
    assert reads_before_carving == ["train"]
    for split in ("train", "validation"):
        source.reads.clear()
        load_split(ANY, split, 0, source.label_names)
        assert source.reads == ["train"]


def test_given_validation_data_is_used_whole_and_nothing_is_carved(use_source):
    validation = make_examples((2, 1, 1), "validation")
    source = use_source(validation=validation)
    splits = load_splits(ANY, seed=0)
    assert content(splits.validation) == content(validation)
    assert content(splits.train) == content(source._splits["train"])


@pytest.mark.parametrize("seed", range(5))
def test_a_classes_only_example_stays_in_training(use_source, seed):
    use_source(counts=(20, 19, 1))
    splits = load_splits(ANY, seed)
    assert class_counts(splits.train) == [15, 14, 1]
    assert class_counts(splits.validation) == [5, 5]


def test_there_may_be_no_test_data(use_source):
    use_source(test=None)
    assert load_splits(ANY, seed=0).test is None


@pytest.mark.parametrize("counts", [(1, 1), (2, 2, 2), (1, 1, 1)])
def test_too_few_examples_to_carve_are_an_input_error(use_source, counts):
    use_source(counts)
    config = dataclasses.replace(ANY, validation_fraction=0.1)
    with pytest.raises(
        InputError, match=f"{sum(counts)} training examples are too few"
    ):
        load_splits(config, seed=0)


def test_too_large_a_fraction_is_an_input_error(use_source):
    use_source((2, 2))
    config = dataclasses.replace(ANY, validation_fraction=0.9)
    with pytest.raises(InputError, match="of 90% with every class"):
        load_splits(config, seed=0)


def test_one_class_alone_is_an_input_error_that_names_it(use_source):
    use_source(counts=(0, 20))
    with pytest.raises(InputError, match="one class only, 'b', in 20 examples"):
        load_splits(ANY, seed=0)


def test_no_training_data_is_an_input_error(use_source):
    use_source().splits = ("test",)
    with pytest.raises(InputError, match="no training data: give --train_file"):
        load_splits(ANY, seed=0)


# --- Drawing


def test_max_train_examples_draws_stratified_before_carving(use_source):
    use_source()
    config = dataclasses.replace(ANY, max_train_examples=20)
    splits = load_splits(config, seed=0)
    total = np.add(class_counts(splits.train), class_counts(splits.validation))
    assert total.tolist() == [10, 6, 4]
    assert len(splits.validation) == 5
    assert class_counts(splits.test) == [9, 6, 3]


def test_max_test_examples_draws_stratified_from_the_test_alone(use_source):
    use_source()
    config = dataclasses.replace(ANY, max_test_examples=6)
    splits = load_splits(config, seed=0)
    assert class_counts(splits.test) == [3, 2, 1]
    assert all(text.startswith("test ") for text in splits.test.texts)
    assert len(splits.train) + len(splits.validation) == 40


def test_drawing_is_by_seed(use_source):
    use_source()
    config = dataclasses.replace(ANY, max_test_examples=6)
    drawn = [load_splits(config, seed).test.texts for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) != set(drawn[2])


def test_a_maximum_that_is_not_reached_changes_nothing(use_source):
    use_source()
    config = dataclasses.replace(ANY, max_train_examples=40, max_test_examples=18)
    limited, whole = load_splits(config, seed=0), load_splits(ANY, seed=0)
    for name in ("train", "validation", "test"):
        assert content(getattr(limited, name)) == content(getattr(whole, name))


def test_fewer_examples_than_classes_are_drawn_without_strata(use_source):
    use_source()
    config = dataclasses.replace(ANY, max_test_examples=2)
    drawn = [load_splits(config, seed).test for seed in range(9)]
    assert {len(test) for test in drawn} == {2}
    assert len({tuple(sorted(test.labels)) for test in drawn}) > 1


# --- One split


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("has_validation", [False, True])
@pytest.mark.parametrize("limits", [(0, 0), (30, 6)])
def test_load_split_gives_what_load_splits_gives(
    use_source, split, has_validation, limits
):
    extra = {"validation": make_examples((3, 3, 3), "val")} if has_validation else {}
    source = use_source(**extra)
    config = dataclasses.replace(
        ANY, max_train_examples=limits[0], max_test_examples=limits[1]
    )
    alone = load_split(config, split, 7, source.label_names)
    assert content(alone) == content(getattr(load_splits(config, 7), split))


def test_load_split_without_test_data_says_what_there_is(use_source):
    use_source(test=None)
    with pytest.raises(InputError, match=r"no labelled test split\. It has: train\."):
        load_split(ANY, "test", 0, ("a", "b", "c"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_load_split_cannot_carve_from_test_data_alone(monkeypatch, split):
    source = SpySource(test=make_examples(COUNTS))
    monkeypatch.setattr(datasets, "open_source", lambda *_: source)
    with pytest.raises(InputError, match=f"no labelled {split} split.*: test"):
        load_split(ANY, split, 0, source.label_names)
    assert source.reads == []


def test_other_classes_than_the_models_are_an_input_error(use_source):
    use_source()
    for may_lack in (False, True):
        with pytest.raises(
            InputError, match=r"knows 2 .*neg, pos.* 3 \(a, b, c\).*--skip_bad_rows"
        ):
            load_split(ANY, "test", 0, ("neg", "pos"), may_lack_classes=may_lack)


# --- From settings to source


@pytest.fixture
def write(tmp_path):
    def write(name, rows, header=("text", "label")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return str(path)

    return write


def test_classes_of_a_file_that_lacks_some_are_found_by_name(write):
    names = ("neg", "neu", "pos")

    def labels(path, **settings):
        config = DataConfig(test_file=path, **settings)
        return load_split(config, "test", 0, names, may_lack_classes=True).labels

    path = write("a.csv", [("x", "positive"), ("y", "negative")])
    assert labels(path).tolist() == [2, 0]
    # 0 and 1 would be neg and neu by their places.
    numbers = write("b.csv", [("x", "1"), ("y", "0")])
    with pytest.raises(InputError, match=r"Say which is which: .*--label_map"):
        labels(numbers)
    assert labels(numbers, label_map=("0:neg", "1:pos")).tolist() == [2, 0]
    assert labels(numbers, label_names=("neg", "pos")).tolist() == [2, 0]


def test_own_files_give_splits_classes_and_columns(write):
    header = ("review", "stars")
    config = DataConfig(
        train_file=write("a.csv", [("x", "pos"), ("y", "neg")], header),
        validation_file=write("b.csv", [("z", "neg")], header),
        test_file=write("c.csv", [("w", "pos"), ("v", "pos")], header),
        text_column="review",
        label_column="stars",
    )
    splits = load_splits(config, seed=0)
    assert splits.label_names == ("neg", "pos")
    assert content(splits.train) == (["x", "y"], [1, 0])
    assert content(splits.validation) == (["z"], [0])
    assert content(splits.test) == (["w", "v"], [1, 1])


def test_label_names_of_the_settings_come_before_those_of_the_model(write):
    path = write("a.csv", [("x", "pos"), ("y", "neg")])
    config = DataConfig(train_file=path, label_names=("pos", "neg"))
    assert open_source(config, ("neg", "pos")).label_names == ("pos", "neg")
    without = dataclasses.replace(config, label_names=())
    assert open_source(without, ("pos", "neg")).label_names == ("pos", "neg")
    assert open_source(without).label_names == ("neg", "pos")


def test_split_for_a_model_has_the_models_class_indices(write):
    path = write("a.csv", [("x", "pos"), ("y", "neg")])
    config = DataConfig(test_file=path, label_names=("pos", "neg"))
    assert load_split(config, "test", 0, ("neg", "pos")).labels.tolist() == [1, 0]
    assert load_split(config, "test", 0, ("pos", "neg")).labels.tolist() == [0, 1]
    with pytest.raises(InputError, match="knows the classes neg, neu"):
        load_split(config, "test", 0, ("neg", "neu"))


def test_skipped_rows_of_all_files_are_counted(write):
    good = [("x", "pos"), ("y", "neg")]
    config = DataConfig(
        train_file=write("a.csv", [*good, ("z", ""), ("z", "")]),
        validation_file=write("b.csv", [*good, ("z", "other")]),
        test_file=write("c.csv", [*good, ("a", "b", "c")]),
        skip_bad_rows=True,
    )
    assert load_splits(config, seed=0).num_skipped_rows == 4
    with pytest.raises(InputError, match="bad rows: 2"):
        load_splits(dataclasses.replace(config, skip_bad_rows=False), seed=0)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"dataset": "quickstart"}, datasets.BUNDLED),
        ({"dataset": "short_texts"}, datasets.BUNDLED),
        ({"dataset": "imdb_reviews"}, datasets.TFDS),
        ({"train_file": "a.csv"}, datasets.OWN_FILES),
        ({"test_file": "a.csv"}, datasets.OWN_FILES),
    ],
)
def test_settings_name_one_kind_of_source(settings, kind):
    config = DataConfig(**settings)
    assert next(k for k in datasets.SOURCES if k.is_named_by(config)) is kind


def test_a_new_kind_of_source_takes_part(monkeypatch):
    source = SimpleNamespace(
        label_names=("neg", "pos"),
        splits=("test",),
        num_skipped_rows=0,
        read=lambda split: Examples(["x"], np.array([1])),
    )
    kind = SourceKind(lambda config: config.dataset == "mine", lambda *_: source)
    monkeypatch.setattr(datasets, "SOURCES", (kind, *datasets.SOURCES))
    read = load_split(DataConfig(dataset="mine"), "test", 0, ("pos", "neg"))
    assert content(read) == (["x"], [0])


def test_the_bundled_data_set_has_three_splits_and_three_classes(write, monkeypatch):
    rows = [("x", "negative"), ("y", "neutral"), ("z", "positive")]
    for split in ("train", "validation", "test"):
        path = write(f"quickstart/{split}.csv", rows)
    monkeypatch.setattr(datasets, "BUNDLED_ROOT", Path(path).parent.parent)
    source = open_source(DataConfig(dataset="quickstart"))
    assert source.splits == ("train", "validation", "test")
    assert content(source.read("test")) == (["x", "y", "z"], [0, 1, 2])


def test_the_bundled_files_are_where_the_source_looks():
    splits = load_splits(DataConfig(dataset="quickstart"), seed=0)
    assert splits.label_names == ("negative", "neutral", "positive")
    for examples in (splits.train, splits.validation, splits.test):
        assert min(class_counts(examples)) > 0
        assert len(class_counts(examples)) == 3


# --- What is pointed out


def write_rows(path, pairs):
    rows = "".join(f"{text},{label}\n" for text, label in pairs)
    path.write_text(f"text,label\n{rows}")
    return str(path)


def test_slips_in_the_labels_are_pointed_out(tmp_path, caplog):
    pairs = [(f"text {i}", ("Pos", "neg", "pos")[i % 3]) for i in range(90)]
    config = DataConfig(train_file=write_rows(tmp_path / "a.csv", pairs))
    load_splits(config, seed=0)
    assert "differ in case only: 'Pos'" in caplog.text
    assert "--label_map can join classes" in caplog.text
    assert "the label stands in the text" not in caplog.text


def test_labels_that_stand_in_the_texts_are_pointed_out(tmp_path, caplog):
    pairs = [(f"{label} {i}", label) for i in range(30) for label in ("neg", "pos")]
    path = write_rows(tmp_path / "a.csv", pairs)
    load_splits(DataConfig(train_file=path), seed=0)
    assert "In 100% of the texts the label stands in the text" in caplog.text
    caplog.clear()
    load_split(DataConfig(test_file=path), "test", 0, ("neg", "pos"))
    assert "In 100% of the texts the label stands in the text" in caplog.text

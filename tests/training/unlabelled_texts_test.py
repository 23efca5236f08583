import dataclasses

import numpy as np
import pytest

from sentiment.baselines.classical import fit_baseline
from sentiment.config import (
    TEACHERS,
    AdversarialConfig,
    BaselineConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    UnlabelledConfig,
)
from sentiment.data.datasets import Splits, load_splits
from sentiment.data.examples import Examples
from sentiment.data.mixing import mix_texts
from sentiment.errors import InputError
from sentiment.training import teachers, unlabelled_texts
from sentiment.training.teachers import copy_head, load_teachers, soften
from sentiment.training.unlabelled_texts import (
    ReadTexts,
    label_unlabelled,
    read_unlabelled,
)

NEW = ["Superb and lovely", "a dull, boring film", "SUPERB  and<br/>lovely", ""]


@pytest.fixture
def config(tmp_path, write_data):
    """Unlabelled: four texts of which two are new, and every labelled one."""
    data = write_data(tmp_path, 60, 20)
    splits = load_splits(data, 0)
    labelled = [splits.train, splits.validation, splits.test]
    texts = [*NEW, *(text.upper() for part in labelled for text in part.texts)]
    path = tmp_path / "unlabelled.txt"
    path.write_text("\n".join(texts))
    unlabelled = UnlabelledConfig(teacher="nb_svm", unlabelled_file=str(path))
    return RunConfig(data, ModelConfig(), TrainingConfig(), unlabelled=unlabelled)


def test_texts_are_read_from_the_datas_column_and_bad_rows_counted(config, tmp_path):
    path = tmp_path / "more.csv"
    path.write_text('review\nOne.\n"a",b\nTwo.\n"c",d\n')
    data = dataclasses.replace(config.data, text_column="review", skip_bad_rows=True)
    unlabelled = dataclasses.replace(config.unlabelled, unlabelled_file=str(path))
    config = dataclasses.replace(config, data=data, unlabelled=unlabelled)
    assert read_unlabelled(config) == ReadTexts(["One.", "Two."], 2)
    strict = dataclasses.replace(data, skip_bad_rows=False)
    with pytest.raises(InputError, match="line 3"):
        read_unlabelled(dataclasses.replace(config, data=strict))


def test_bad_rows_are_passed_on(config):
    splits = load_splits(config.data, 0)
    assert label_unlabelled(config, splits, ReadTexts(NEW, 7)).num_skipped_rows == 7


def test_a_split_of_a_tfds_set_is_read_from_the_datas_column(config, monkeypatch):
    received = []

    def read(*arguments):
        received.append(arguments)
        return {"unsupervised": ["One.", "Two."]}

    monkeypatch.setattr(unlabelled_texts, "read_tfds_texts", read)
    data = DataConfig(dataset="imdb", tfds_data_dir="folder", text_column="review")
    unlabelled = UnlabelledConfig(teacher="nb_svm", unlabelled_split="unsupervised")
    config = dataclasses.replace(config, data=data, unlabelled=unlabelled)
    assert read_unlabelled(config).texts == ["One.", "Two."]
    assert received == [("imdb", "folder", ["unsupervised"], "review")]


def test_nothing_unlabelled_is_nothing(config):
    config = dataclasses.replace(config, unlabelled=UnlabelledConfig())
    assert read_unlabelled(config).texts == []
    assert label_unlabelled(config, load_splits(config.data, 0), ReadTexts([])) is None


def test_labelled_and_repeated_texts_are_not_taught_again(config):
    splits = load_splits(config.data, 0)
    taught = label_unlabelled(config, splits, read_unlabelled(config))
    assert taught.examples.texts == NEW[:2]
    num_labelled = sum(map(len, (splits.train, splits.validation, splits.test)))
    assert taught.num_excluded == num_labelled
    assert taught.num_repeated == 1  # An empty line of a text file is no document.


@pytest.mark.parametrize("teacher", TEACHERS)
def test_labels_are_the_probabilities_of_the_teacher(config, teacher):
    splits = load_splits(config.data, 0)
    unlabelled = dataclasses.replace(config.unlabelled, teacher=teacher)
    config = dataclasses.replace(config, unlabelled=unlabelled)
    labels = label_unlabelled(config, splits, read_unlabelled(config)).examples.labels
    model = fit_baseline(BaselineConfig(method=teacher), splits, config.seed)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, model.predict(NEW[:2]), rtol=1e-6)
    assert labels[0, 1] > labels[1, 1]  # the first one praises


def test_texts_that_are_all_labelled_are_refused(config, tmp_path):
    path = tmp_path / "same.txt"
    path.write_text(load_splits(config.data, 0).test.texts[0])
    unlabelled = UnlabelledConfig(teacher="nb_svm", unlabelled_file=str(path))
    config = dataclasses.replace(config, unlabelled=unlabelled)
    with pytest.raises(
        InputError, match="unlabelled ones 1 are among the labelled ones"
    ):
        label_unlabelled(config, load_splits(config.data, 0), read_unlabelled(config))


def test_test_texts_that_were_not_drawn_are_not_taught_either(config):
    few = dataclasses.replace(config.data, max_test_examples=4)
    config = dataclasses.replace(config, data=few)
    splits = load_splits(few, 0)
    assert len(splits.test) == 4
    taught = label_unlabelled(config, splits, read_unlabelled(config))
    assert taught.examples.texts == NEW[:2]


def test_without_teacher_texts_have_no_weight_and_no_opinion(config):
    unlabelled = dataclasses.replace(config.unlabelled, teacher="none")
    vat = AdversarialConfig(adversarial="vat")
    config = dataclasses.replace(config, unlabelled=unlabelled, adversarial=vat)
    splits = load_splits(config.data, 0)
    found = label_unlabelled(config, splits, read_unlabelled(config))
    assert found.weight == 0
    assert found.examples.texts == NEW[:2]
    np.testing.assert_array_equal(found.examples.labels, np.full((2, 2), 0.5))


def test_mixed_texts_are_labelled_beside_the_others(config):
    mixing = dataclasses.replace(config.unlabelled, mixed_texts=50)
    config = dataclasses.replace(config, unlabelled=mixing)
    splits = load_splits(config.data, 0)
    taught = label_unlabelled(config, splits, read_unlabelled(config))
    made = mix_texts(splits.train.texts, 50, config.seed)
    assert taught.examples.texts[:2] == NEW[:2]
    assert set(taught.examples.texts[2:]) <= set(made)
    assert taught.num_mixed == len(taught.examples.texts) - 2 > 25


def test_mixed_texts_need_no_others(config):
    mixing = UnlabelledConfig(teacher="nb_svm", mixed_texts=20)
    config = dataclasses.replace(config, unlabelled=mixing)
    taught = label_unlabelled(
        config, load_splits(config.data, 0), read_unlabelled(config)
    )
    assert len(taught.examples) == taught.num_mixed > 10


def test_mixed_texts_are_counted_apart_from_the_unlabelled_ones(config, tmp_path):
    splits = load_splits(config.data, 0)
    made = mix_texts(splits.train.texts, 30, config.seed)
    path = tmp_path / "some.txt"
    path.write_text("\n".join([made[0], NEW[0], NEW[0]]))
    unlabelled = UnlabelledConfig(
        teacher="nb_svm", unlabelled_file=str(path), mixed_texts=30
    )
    config = dataclasses.replace(config, unlabelled=unlabelled)
    taught = label_unlabelled(config, splits, read_unlabelled(config))
    assert taught.examples.texts[:2] == [made[0], NEW[0]]
    assert (taught.num_excluded, taught.num_repeated) == (0, 1)
    assert taught.num_mixed == len(taught.examples) - 2
    assert made[0] not in taught.examples.texts[2:]


def test_mixed_texts_that_are_labelled_already_are_left_out(config):
    train = Examples(["good", "bad"] * 6, np.array([1, 0] * 6))
    known = Examples(["good good", "bad good"], np.array([1, 0]))
    splits = Splits(train, known, None, ("bad", "good"))
    mixing = UnlabelledConfig(teacher="nb_svm", mixed_texts=200)
    config = dataclasses.replace(config, unlabelled=mixing)
    assert {"good good", "bad good"} < set(mix_texts(train.texts, 200, config.seed))
    texts = label_unlabelled(config, splits, ReadTexts([])).examples.texts
    assert {"good bad", "bad bad"} < set(texts)
    assert not {"good good", "bad good"} & set(texts)


def test_the_seed_decides_what_is_mixed(config):
    splits = load_splits(config.data, 0)
    mixing = UnlabelledConfig(teacher="nb_svm", mixed_texts=20)
    found = [
        label_unlabelled(
            dataclasses.replace(config, unlabelled=mixing, seed=seed),
            splits,
            ReadTexts([]),
        ).examples.texts
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


@pytest.fixture
def with_teacher(config, make_classifier, tmp_path):
    """The config with a trained teacher of these classes, its share, and it."""

    def make(label_names, share=0.25):
        teacher = make_classifier(num_classes=len(label_names))
        teacher.label_names = label_names
        teacher.save(tmp_path / "model.keras")
        unlabelled = dataclasses.replace(
            config.unlabelled, teacher=str(tmp_path), teacher_weight=share
        )
        return dataclasses.replace(config, unlabelled=unlabelled), teacher

    return make


def test_a_trained_model_may_be_the_teacher(with_teacher):
    config, expected = with_teacher(("bad", "good"))
    splits, trained = load_splits(config.data, 0), load_teachers(config)
    taught = label_unlabelled(config, splits, read_unlabelled(config), trained)
    assert taught.weight == 1
    assert taught.examples.texts == NEW[:2]
    found = taught.examples.labels
    np.testing.assert_allclose(found, expected.predict(NEW[:2]), rtol=1e-6)


def test_its_share_of_the_training_labels_is_mixed_in(with_teacher):
    config, expected = with_teacher(("bad", "good"))
    splits, trained = load_splits(config.data, 0), load_teachers(config)
    found = soften(config, splits, trained)
    assert found.texts == splits.train.texts
    certain = np.eye(2)[splits.train.labels]
    mixed = 0.75 * certain + 0.25 * expected.predict(found.texts)
    np.testing.assert_allclose(found.labels, mixed, rtol=1e-5)
    assert found.labels.dtype == np.float32


def test_without_a_share_the_labels_stay_classes(with_teacher):
    config, _ = with_teacher(("bad", "good"), share=0.0)
    splits = load_splits(config.data, 0)
    assert soften(config, splits, load_teachers(config)) is splits.train


def test_a_teachers_classes_may_come_in_another_order(with_teacher, make_classifier):
    config, _ = with_teacher(("bad", "good"), share=1.0)
    teacher = make_classifier(num_classes=3)
    # Of no order that is its own inverse, as two classes turned around would be.
    teacher.label_names = ("fair", "good", "bad")
    train = Examples(["one", "two", "three"], np.array([0, 1, 2]))
    splits = Splits(train, train, None, ("bad", "fair", "good"))
    found = soften(config, splits, [teacher]).labels
    expected = teacher.predict(train.texts)[:, [2, 0, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("names", [("bad", "fair", "good"), ("no", "yes")])
def test_a_teacher_of_other_classes_is_refused(with_teacher, names):
    config, _ = with_teacher(names)
    with pytest.raises(
        InputError,
        match=f"The teacher knows the classes {', '.join(names)}; .* --teacher",
    ):
        soften(config, load_splits(config.data, 0), load_teachers(config))


def test_a_classical_teacher_is_not_looked_for_on_disk(config, monkeypatch):
    monkeypatch.setattr(teachers, "load_classifier", None)
    assert load_teachers(config) == []


def test_the_runs_speed_and_seed_reach_the_teacher(with_teacher, monkeypatch):
    config, _ = with_teacher(("bad", "good"))
    received = []
    monkeypatch.setattr(teachers, "load_classifier", lambda *x: received.append(x))
    load_teachers(config)
    assert received == [(*config.unlabelled.teacher, config.speed)]

    def fit(baseline, splits, seed):
        received.append((baseline, seed))
        return fit_baseline(baseline, splits, seed)

    monkeypatch.setattr(unlabelled_texts, "fit_baseline", fit)
    unlabelled = UnlabelledConfig(teacher="nb_svm", mixed_texts=5)
    config = dataclasses.replace(config, unlabelled=unlabelled, seed=7)
    label_unlabelled(config, load_splits(config.data, 0), ReadTexts(NEW))
    assert received[1:] == [(BaselineConfig(method="nb_svm"), 7)]


def test_a_teacher_that_is_not_there_is_named(config):
    unlabelled = dataclasses.replace(config.unlabelled, teacher="runs/none")
    config = dataclasses.replace(config, unlabelled=unlabelled)
    with pytest.raises(InputError, match=r"--teacher=runs/none is none of .*nb_svm"):
        load_teachers(config)


def test_several_teachers_give_their_mean(config, make_classifier, tmp_path):
    trained = [make_classifier(), make_classifier()]
    trained[1].label_names = trained[1].label_names[::-1]
    names = trained[0].label_names
    for number, teacher in enumerate(trained):
        teacher.save(tmp_path / f"{number}.keras")
    places = [str(tmp_path / f"{number}.keras") for number in range(2)]
    unlabelled = dataclasses.replace(config.unlabelled, teacher=("nb_svm", *places))
    config = dataclasses.replace(config, unlabelled=unlabelled)
    splits = load_splits(config.data, 0)
    splits = dataclasses.replace(splits, label_names=names)
    loaded = load_teachers(config)
    found = label_unlabelled(config, splits, read_unlabelled(config), loaded)
    classical = fit_baseline(BaselineConfig(method="nb_svm"), splits, config.seed)
    each = [
        classical.predict(NEW[:2]),
        trained[0].predict(NEW[:2]),
        trained[1].predict(NEW[:2])[:, ::-1],
    ]
    np.testing.assert_allclose(found.examples.labels, np.mean(each, 0), rtol=1e-5)
    softened = dataclasses.replace(unlabelled, teacher=tuple(places), teacher_weight=1)
    softened = soften(dataclasses.replace(config, unlabelled=softened), splits, loaded)
    each = [
        loaded[0].predict(softened.texts),
        loaded[1].predict(softened.texts)[:, ::-1],
    ]
    np.testing.assert_allclose(softened.labels, np.mean(each, 0), rtol=1e-5)


def test_a_teacher_may_have_written_what_it_thinks(config, tmp_path):
    path = tmp_path / "taught.csv"
    known = load_splits(config.data, 0).train.texts[0]
    path.write_text(
        "probability_good,text,probability_bad\n"
        f"0.2,One.,0.8\n0.9,{known},0.1\n0.7,Two.,0.3\n,<br>,\n"
    )
    unlabelled = UnlabelledConfig(teacher="columns", unlabelled_file=str(path))
    config = dataclasses.replace(config, unlabelled=unlabelled)
    splits = load_splits(config.data, 0)
    found = label_unlabelled(config, splits, read_unlabelled(config))
    assert splits.label_names == ("bad", "good")
    assert found.examples.texts == ["One.", "Two."]
    np.testing.assert_allclose(found.examples.labels, [[0.8, 0.2], [0.3, 0.7]])
    assert found.weight == 1


def test_teachers_may_have_written_several_tables(config, tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    head = "text,probability_"
    one.write_text(f"{head}good,probability_bad\nOne.,0.2,0.8\n")
    other.write_text(
        f"{head}bad,probability_so,probability_good\n"
        "Two.,0.1,0.6,0.3\none.,0.2,0.6,0.2\nTWO.,0.3,0.2,0.5\n"
    )
    both = (str(one), str(other))
    unlabelled = UnlabelledConfig(teacher="columns", unlabelled_file=both)
    config = dataclasses.replace(config, unlabelled=unlabelled)
    splits = load_splits(config.data, 0)
    read = read_unlabelled(config)
    with pytest.raises(
        InputError, match=r"other.csv has .* bad, so, good; the data has bad, g"
    ):
        label_unlabelled(config, splits, read)
    splits = dataclasses.replace(splits, label_names=("bad", "so", "good"))
    found = label_unlabelled(config, splits, read).examples
    assert found.texts == ["One.", "Two."]
    # The mean of what is said, however often and wherever.
    np.testing.assert_allclose(found.labels, [[0.5, 0.3, 0.2], [0.2, 0.4, 0.4]])


def test_several_files_are_read_one_after_the_other(config, tmp_path):
    (tmp_path / "a.txt").write_text("One.\nTwo.\n")
    (tmp_path / "b.csv").write_text('text\nThree.\n"x",y\n')
    files = (str(tmp_path / "a.txt"), str(tmp_path / "b.csv"))
    unlabelled = UnlabelledConfig(teacher="nb_svm", unlabelled_file=files)
    data = dataclasses.replace(config.data, skip_bad_rows=True)
    config = dataclasses.replace(config, data=data, unlabelled=unlabelled)
    assert read_unlabelled(config) == ReadTexts(["One.", "Two.", "Three."], 1)


@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_a_student_may_begin_with_the_teachers_head(
    make_classifier, randomize, pooling
):
    student = make_classifier("attention")
    student.label_names = ("bad", "fair", "good")
    teacher = randomize(make_classifier(pooling))
    teacher.label_names = ("fair", "good", "bad")
    before = student.get_weights()
    copy_head(student, teacher)
    kernel, bias = student.logits_dense.get_weights()
    if pooling == "mean":  # another form
        for one, other in zip(student.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)
        return
    expected = teacher.logits_dense.get_weights()
    np.testing.assert_array_equal(kernel, expected[0][:, [2, 0, 1]])
    np.testing.assert_array_equal(bias, expected[1][[2, 0, 1]])
    for one, other in zip(
        student.pooler.get_weights(), teacher.pooler.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)

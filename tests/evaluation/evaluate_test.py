import copy
import csv
import dataclasses

import keras
import numpy as np
import pytest

import sentiment
from sentiment.config import DataConfig
from sentiment.data.datasets import Splits, load_splits
from sentiment.data.examples import Examples
from sentiment.data.pipeline import encode_examples
from sentiment.errors import InputError
from sentiment.evaluation.evaluate import (
    Evaluation,
    evaluate_encoded,
    evaluate_split,
    occur_in,
    scores_of,
)
from sentiment.evaluation.metrics import classification_metrics, reliability_bins
from sentiment.evaluation.predictions import text_keys

LABEL_NAMES = ("bad", "fair", "good")


@pytest.fixture(scope="module")
def classifier(tokenizer, make_backbone):
    """Untrained, but with weights so large that it tells texts apart."""
    keras.utils.set_random_seed(0)
    backbone = make_backbone(
        num_layers=1,
        num_heads=1,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=32,
        dropout=0.1,
    )
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(tokenizer)
    classifier = sentiment.GPT2TextClassifier(
        backbone, 3, preprocessor, pooling="mean", label_names=LABEL_NAMES
    )
    rng = np.random.default_rng(0)
    for variable in classifier.trainable_variables:
        variable.assign(rng.normal(0, 1, variable.shape))
    texts = ["film a ! plot"[:i] + str(i) for i in range(25)]
    bias = classifier.logits_dense.bias
    bias.assign_sub(np.log(classifier.predict(texts)).mean(axis=0))
    return classifier


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """40 training and 25 test texts, in no order of class or length."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, count in (("train", 40), ("test", 25)):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for i in range(count):
                text = " ".join(rng.choice(["film", "a", "!", "plot"], i % 9))
                writer.writerow([f"{i} {text}", rng.choice(LABEL_NAMES)])
    return DataConfig(
        train_file=str(folder / "train.csv"), test_file=str(folder / "test.csv")
    )


def scored(classifier, examples):
    probabilities = classifier.predict(examples.texts)
    return classification_metrics(examples.labels, probabilities, LABEL_NAMES)


def assert_same_scores(actual, expected):
    for name in ("loss", "expected_calibration_error"):
        assert actual[name] == pytest.approx(expected[name], rel=1e-5)
    rounded = {"loss": 0, "expected_calibration_error": 0}
    assert {**actual, **rounded} == {**expected, **rounded}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_is_scored_as_training_would_see_it(classifier, config, split):
    examples = getattr(load_splits(config, seed=5), split)
    metrics = evaluate_split(classifier, config, split, seed=5)
    assert metrics["num_examples"] == len(examples)
    assert_same_scores(metrics, scored(classifier, examples))


def test_the_model_is_no_constant(classifier, config):
    predicted = np.array(evaluate_split(classifier, config)["confusion_matrix"])
    assert (predicted.sum(axis=0) > 0).all()


def test_the_test_split_is_the_default(classifier, config):
    default = evaluate_split(classifier, config)
    assert default == evaluate_split(classifier, config, "test")


@pytest.mark.parametrize("batch_size", [3, 64])
def test_batch_size_does_not_change_the_scores(classifier, config, batch_size):
    metrics = evaluate_split(classifier, config, batch_size=batch_size)
    assert_same_scores(metrics, evaluate_split(classifier, config))


def test_the_seed_decides_what_was_carved(classifier, config):
    validation = [
        evaluate_split(classifier, config, "validation", seed)["loss"]
        for seed in (0, 0, 1)
    ]
    assert validation[0] == validation[1] != validation[2]


def test_reliability_is_that_of_the_same_probabilities(classifier, config):
    examples = load_splits(config, seed=0).test
    encoded = encode_examples(classifier.preprocessor, examples)
    evaluation = evaluate_encoded(classifier, encoded)
    expected = reliability_bins(examples.labels, classifier.predict(examples.texts))
    for name, values in expected.items():
        np.testing.assert_allclose(evaluation.reliability[name], values, rtol=1e-5)


def test_a_missing_split_is_an_input_error(classifier, config):
    without = dataclasses.replace(config, test_file="")
    with pytest.raises(InputError, match="no labelled test split"):
        evaluate_split(classifier, without)


def test_data_of_other_classes_is_an_input_error(classifier, config):
    other = dataclasses.replace(config, label_names=("bad", "good"))
    with pytest.raises(InputError, match=r"knows 3 classes \(bad, fair, good\)"):
        evaluate_split(classifier, other)


def some_rows(config, tmp_path, wanted):
    """The test file without rows of other classes."""
    with open(config.test_file, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in wanted]
    path = tmp_path / "some.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *map(dict.values, rows)])
    texts, labels = zip(*((row["text"], row["label"]) for row in rows), strict=True)
    return DataConfig(test_file=str(path)), list(texts), labels


def test_among_the_datas_classes_the_likeliest_of_them_is_the_answer(
    classifier, config, tmp_path
):
    """As if the model had no other: softmax over some of its logits."""
    some, texts, labels = some_rows(config, tmp_path, ("good", "bad"))
    found = evaluate_split(classifier, some, data_classes_only=True)
    probabilities = classifier.predict(texts)[:, [0, 2]]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    indices = [("bad", "good").index(label) for label in labels]
    assert_same_scores(
        found, classification_metrics(indices, probabilities, ("bad", "good"))
    )
    assert (classifier.predict(texts).argmax(axis=1) == 1).any()
    plain = evaluate_split(classifier, some)
    assert list(plain["per_class"]) == list(LABEL_NAMES)
    assert plain["accuracy"] < found["accuracy"]


def test_where_data_have_all_classes_the_scores_are_the_same(classifier, config):
    assert_same_scores(
        evaluate_split(classifier, config, data_classes_only=True),
        evaluate_split(classifier, config),
    )


def test_one_class_alone_is_no_choice(classifier, config, tmp_path):
    some, _, _ = some_rows(config, tmp_path, ("fair",))
    with pytest.raises(InputError, match=r"rows are 'fair'.*--data_classes_only"):
        evaluate_split(classifier, some, data_classes_only=True)


def test_classes_without_any_probability_are_equal(classifier, config, tmp_path):
    some, _, labels = some_rows(config, tmp_path, ("good", "bad"))
    sure = copy.deepcopy(classifier)
    sure.logits_dense.bias.assign([-1e4, 1e4, -1e4])
    found = evaluate_split(sure, some, data_classes_only=True)
    assert found["loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert found["num_examples"] == len(labels)


# --- Test texts that training has seen

TEXTS = ["one", "two", "three", "four"]
TRUTH = np.array([0, 1, 1, 0])
PROBABILITIES = np.array([[0.75, 0.25], [0.25, 0.75], [0.75, 0.25], [0.25, 0.75]])


def scores(train, validation, with_test=True):
    def examples(texts):
        return Examples(texts, np.zeros(len(texts), int))

    evaluation = Evaluation.of(TRUTH, PROBABILITIES, ("bad", "good"))
    splits = Splits(
        examples(train),
        examples(validation),
        Examples(TEXTS, TRUTH) if with_test else None,
        ("bad", "good"),
    )
    test = evaluation if with_test else None
    return scores_of({"validation": evaluation, "test": test}, splits)


def test_a_text_is_seen_whatever_its_case_markup_and_spacing():
    found = occur_in(["A  b", "<i>c</i>", "d"], ["a B", "C", "e"])
    assert found.dtype == bool
    assert found.tolist() == [True, True, False]


@pytest.mark.parametrize(
    "train, validation", [(["TWO", "x"], ["three"]), ([], ["three", "two"])]
)
def test_scores_without_the_texts_seen_stand_beside_the_others(train, validation):
    metrics, _ = scores(train, validation)
    assert list(metrics) == ["validation", "test", "test_unseen"]
    # Of all four 2 are right; of the first and last, which are new, the first.
    assert metrics["test"]["num_examples"] == 4
    assert metrics["test_unseen"]["num_examples"] == 2
    assert metrics["test_unseen"]["confusion_matrix"] == [[1, 1], [0, 0]]


@pytest.mark.parametrize("train", [["x"], TEXTS])
def test_where_none_or_all_were_seen_there_is_nothing_beside(train):
    assert list(scores(train, [])[0]) == ["validation", "test"]


def test_predictions_are_those_of_the_test_texts():
    _, predictions = scores([], [])
    assert predictions.keys == text_keys(TEXTS)
    assert predictions.label_names == ("bad", "good")
    np.testing.assert_array_equal(predictions.labels, TRUTH)
    np.testing.assert_array_equal(predictions.probabilities, PROBABILITIES)


def test_without_test_data_there_are_validation_scores_alone():
    metrics, predictions = scores([], [], with_test=False)
    assert list(metrics) == ["validation"]
    assert predictions is None

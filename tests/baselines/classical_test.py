import dataclasses

import numpy as np
import pytest
from scipy import sparse
from sklearn.svm import LinearSVC

from sentiment.baselines.classical import (
    NBSVM,
    Baseline,
    fit_baseline,
    log_count_ratio,
    make_baseline,
)
from sentiment.config import BASELINES, BaselineConfig
from sentiment.data.datasets import Splits
from sentiment.data.examples import Examples
from sentiment.errors import InputError

GOOD, BAD = ["great fun", "lovely great film"], ["dull film", "boring dull plot"]
TEXTS = GOOD * 10 + BAD * 10
LABELS = np.array([1] * 20 + [0] * 20)


def test_log_count_ratio_by_hand():
    # n-gram 0 is in two documents of the class and one other, n-gram 1 in 0 and 1.
    x = sparse.csr_matrix([[1, 0], [1, 0], [1, 1]])
    ratio = log_count_ratio(x, np.array([True, True, False]))
    p, q = np.array([3, 1]) / 4, np.array([2, 2]) / 4
    np.testing.assert_allclose(ratio, np.log(p / q))


@pytest.mark.parametrize("method", BASELINES)
def test_every_method_gives_probabilities_and_learns(method):
    config = BaselineConfig(method=method, min_count=1)
    classifier = make_baseline(config, seed=0).fit(TEXTS, LABELS)
    model = Baseline(classifier, TEXTS, LABELS, label_names=tuple("abcd"))
    probabilities = model.predict(["a great lovely one", "boring and dull"])
    assert probabilities.shape == (2, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[:, 2:] == 0).all()  # classes that no text has
    if method != "majority":
        assert probabilities.argmax(axis=1).tolist() == [1, 0]


def test_letters_of_chinese_are_words():
    read = make_baseline(BaselineConfig(min_count=1), seed=0)[0].build_analyzer()
    assert read("酒店wifi快!") == [
        *("酒", "店", "wifi", "快", "!"),
        *("酒 店", "店 wifi", "wifi 快", "快 !"),
    ]


def test_nbsvm_of_three_classes():
    x = sparse.csr_matrix(np.repeat(np.eye(3), 5, axis=0))
    y = np.repeat([0, 1, 2], 5)
    fitted = NBSVM().fit(x, y)
    assert fitted.decision_function(x).shape == (15, 3)
    assert fitted.predict(x).tolist() == y.tolist()


def test_beta_one_is_the_svm_alone_and_beta_zero_the_ratio():
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix(rng.integers(0, 2, (60, 8)))
    y = rng.integers(0, 2, 60)
    ratio = log_count_ratio(x, y == 1)
    weights = NBSVM(beta=0.0).fit(x, y).coef_[0] / ratio
    np.testing.assert_allclose(weights, weights[0])
    weights = NBSVM(beta=1.0).fit(x, y).coef_[0] / ratio
    assert np.ptp(weights) > 0.1 * np.abs(weights).max()


def test_settings_reach_the_vectorizer_and_the_svm():
    config = BaselineConfig(
        method="tfidf_lr", max_ngram=3, min_count=2, inverse_penalty=7.0
    )
    vectorizer, regression = make_baseline(config, 0)
    assert vectorizer.ngram_range == (1, 3)
    assert vectorizer.min_df == 2
    assert regression.C == 7.0
    changed = dataclasses.replace(config, method="linear_svm")
    vectorizer, svm = make_baseline(changed, seed=5)
    assert (vectorizer.ngram_range, vectorizer.min_df) == ((1, 3), 2)
    assert (svm.C, svm.random_state) == (7.0, 5)
    changed = dataclasses.replace(config, method="nb_svm")
    vectorizer, svm = make_baseline(changed, seed=5)
    assert (vectorizer.ngram_range, vectorizer.min_df) == ((1, 3), 2)
    assert (svm.inverse_penalty, svm.seed) == (7.0, 5)


def test_the_svm_inside_of_nbsvm_has_its_penalty():
    # While every document lies within the margin, the weights are proportional to C.
    x = sparse.csr_matrix([[1.0, 0.0]] * 10 + [[0.0, 1.0]] * 10)
    y = np.repeat([1, 0], 10)
    weak, strong = (NBSVM(c, beta=1.0).fit(x, y).coef_[0] for c in (1e-5, 1e-4))
    np.testing.assert_allclose(strong, 10 * weak, rtol=0.02)


def test_nbsvm_of_beta_one_decides_as_the_svm_does():
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix(rng.integers(0, 2, (60, 8)))
    y = (rng.random(60) < 0.2).astype(int)
    scaled = x @ sparse.diags(log_count_ratio(x, y == 1))
    svm = LinearSVC(random_state=0).fit(scaled, y)
    assert abs(svm.intercept_[0]) > 0.1  # so that one left out would show
    found = NBSVM(beta=1.0).fit(x, y).decision_function(x)
    np.testing.assert_allclose(found, svm.decision_function(scaled), rtol=1e-6)


@pytest.mark.parametrize(
    "method, counts",
    [
        ("tfidf_lr", [1 + np.log(3), 1 + np.log(2), 1]),
        ("linear_svm", [1 + np.log(3), 1 + np.log(2), 1]),
        ("nb_svm", [1, 1, 1]),
    ],
)
def test_a_word_that_repeats_counts_for_little(method, counts):
    config = BaselineConfig(method=method, max_ngram=1, min_count=1)
    vectorizer = make_baseline(config, 0)[0]
    x = vectorizer.fit_transform(["fun fun fun ! ! so"] * 2).toarray()[0]
    found = [x[vectorizer.vocabulary_[word]] for word in ("fun", "!", "so")]
    np.testing.assert_allclose(np.array(found) / found[-1], counts)


def splits_of(texts, labels, validation_labels):
    train = Examples(texts, np.array(labels))
    validation = Examples(texts[: len(validation_labels)], np.array(validation_labels))
    return Splits(train, validation, None, ("bad", "good", "so so"))


@pytest.mark.parametrize("method", ["linear_svm", "nb_svm"])
def test_validation_that_lacks_a_class_is_refused(method):
    splits = splits_of(["a a", "b b", "c c"] * 4, [0, 1, 2] * 4, [0, 1])
    with pytest.raises(InputError, match=r"no example of: so so.*as tfidf_lr"):
        fit_baseline(BaselineConfig(method=method), splits, 0)
    fit_baseline(BaselineConfig(method="tfidf_lr", min_count=1), splits, 0)


def marked_up(text):
    """The same text to a reader, with words that would tell in its markup."""
    return f'<p title="dull great boring">{text.upper()}</p><br />'


@pytest.mark.parametrize("method", ["lexicon", "tfidf_lr", "nb_svm"])
def test_markup_and_case_make_no_difference_anywhere(method):
    config = BaselineConfig(method=method, min_count=1)
    held_out = [GOOD[0], BAD[0], BAD[1]] * 4

    def fitted(train, validation):
        labels = np.array([1, 0, 0] * 4)
        return fit_baseline(
            config,
            Splits(
                Examples(train, LABELS),
                Examples(validation, labels),
                None,
                ("bad", "good"),
            ),
            0,
        )

    plain = fitted(TEXTS, held_out)
    marked = fitted(list(map(marked_up, TEXTS)), list(map(marked_up, held_out)))
    asked = ["lovely plot", "dull fun", "great"]
    expected = plain.predict(asked)
    assert np.ptp(expected[:, 1]) > 0.1
    np.testing.assert_array_equal(marked.predict(asked), expected)
    found = plain.predict(list(map(marked_up, asked)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["tfidf_lr", "nb_svm"])
def test_texts_that_share_no_word_are_too_few(method):
    splits = splits_of(["one", "two", "three", "four"], [0, 1, 0, 1], [0, 1])
    with pytest.raises(InputError, match=r"no n-gram that occurs in 2 of the 4"):
        fit_baseline(BaselineConfig(method=method), splits, 0)

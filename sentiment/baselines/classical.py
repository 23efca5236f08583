"""Classical classifiers, to be measured against."""

import logging
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sentiment.baselines.lexicon import tone_scores
from sentiment.config import BaselineConfig
from sentiment.data.cleaning import CJK, clean_text
from sentiment.data.datasets import Splits
from sentiment.errors import InputError

# Each of their letters is a token.
TOKEN_PATTERN = rf"[{CJK}]|[^\W{CJK}]+|[^\w\s]"  # punctuation tells, too
MAX_ITERATIONS = 1000
_SCALED = ("linear_svm", "nb_svm")  # whose scores are no probabilities

logger = logging.getLogger(__name__)


def fit_baseline(config: BaselineConfig, splits: Splits, seed: int) -> "Baseline":
    """A classical classifier of raw texts, fitted to a run's training examples.

    Args:
        config: the method and its settings.
        splits: `train` is fitted to; `validation` scales the probabilities.
        seed: of what is drawn.

    Raises:
        InputError: validation lacks a class, or texts are too few.
    """
    validation = splits.validation
    if config.method in _SCALED:
        _check_validation(config.method, splits)
    logger.info(f"Fitting {config.method} on {len(splits.train):,} texts.")
    classifier = make_baseline(config, seed)
    try:
        classifier.fit(_cleaned(splits.train.texts), splits.train.labels)
    except ValueError as error:  # The vectorizer found no n-gram.
        raise InputError(
            f"{config.method} finds no n-gram that occurs in {config.min_count} of the "
            f"{len(splits.train):,} training texts: there are too few ({error})."
        ) from error
    return Baseline(classifier, validation.texts, validation.labels, splits.label_names)


def _check_validation(method: str, splits: Splits):
    """A class that scaling never sees would get probability 0."""
    absent = set(splits.train.labels.tolist()) - set(splits.validation.labels.tolist())
    if absent:
        names = ", ".join(splits.label_names[label] for label in sorted(absent))
        raise InputError(
            f"{method} scales its scores on validation data, which has no example of: "
            f"{names}. Give a --validation_file with every class, or another method, "
            "as tfidf_lr."
        )


def _cleaned(texts: Sequence[str]) -> list[str]:
    return [clean_text(text, lowercase=True) for text in texts]


def make_baseline(config: BaselineConfig, seed: int):
    """An unfitted scikit-learn classifier from cleaned, lowercased texts to classes.

    Args:
        config: the method and its settings.
        seed: of what is drawn.
    """
    return _METHODS[config.method](config, seed)


def _majority(config, seed):
    return DummyClassifier(strategy="prior")


def _lexicon(config, seed):
    # Which tone belongs to which class is learnt, so any classes will do.
    return make_pipeline(
        FunctionTransformer(_tones),
        StandardScaler(),
        LogisticRegression(max_iter=MAX_ITERATIONS),
    )


def _tones(texts):
    return np.array([tone_scores(text) for text in texts]).reshape(-1, 2)


def _tfidf(config):
    return TfidfVectorizer(
        ngram_range=(1, config.max_ngram),
        min_df=config.min_count,
        token_pattern=TOKEN_PATTERN,
        sublinear_tf=True,
    )


def _tfidf_lr(config, seed):
    return make_pipeline(
        _tfidf(config),
        LogisticRegression(C=config.inverse_penalty, max_iter=MAX_ITERATIONS),
    )


def _linear_svm(config, seed):
    return make_pipeline(
        _tfidf(config), LinearSVC(C=config.inverse_penalty, random_state=seed)
    )


def _nb_svm(config, seed):
    vectorizer = CountVectorizer(
        ngram_range=(1, config.max_ngram),
        min_df=config.min_count,
        token_pattern=TOKEN_PATTERN,
        binary=True,
    )
    return make_pipeline(vectorizer, NBSVM(config.inverse_penalty, seed))


class NBSVM(ClassifierMixin, BaseEstimator):
    """A linear SVM on n-grams weighted by their log-count ratio.

    r = log((p / |p|) / (q / |q|)), p and q being 1 plus the documents of and not of
    the class that hold an n-gram; the weights are drawn towards their mean size,
    w' = (1 - beta) mean |w| + beta w (Wang & Manning 2012,
    https://aclanthology.org/P12-2018). Classes stand one against the rest.

    Args:
        inverse_penalty: C of the SVM.
        seed: of the solver.
        beta: in [0, 1].
    """

    def __init__(self, inverse_penalty=1.0, seed=0, beta=0.25):
        self.inverse_penalty = inverse_penalty
        self.seed = seed
        self.beta = beta

    def fit(self, x, y):
        """Fits one weight vector a class; `x` sparse 0/1 (documents, n-grams)."""
        self.classes_ = np.unique(y)
        # With two classes one is the mirror of the other.
        shown = self.classes_ if len(self.classes_) > 2 else self.classes_[1:]
        fitted = [self._fit_class(x, y == label) for label in shown]
        self.coef_ = np.stack([weights for weights, _ in fitted])
        self.intercept_ = np.array([intercept for _, intercept in fitted])
        return self

    def _fit_class(self, x, is_class):
        ratio = log_count_ratio(x, is_class)
        svm = LinearSVC(C=self.inverse_penalty, random_state=self.seed)
        svm.fit(x @ sparse.diags(ratio), is_class)
        weights = svm.coef_[0]
        weights = (1 - self.beta) * np.abs(weights).mean() + self.beta * weights
        return weights * ratio, svm.intercept_[0]

    def decision_function(self, x):
        """Float (N,) for two classes, else (N, num_classes)."""
        scores = x @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, x):
        """The class of each document."""
        scores = self.decision_function(x)
        index = scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[index.astype(int)]


def log_count_ratio(x, is_class) -> np.ndarray:
    """The ratio r of each n-gram, see `NBSVM`; float (n-grams,)."""
    p = 1 + np.asarray(x[is_class].sum(axis=0)).ravel()
    q = 1 + np.asarray(x[~is_class].sum(axis=0)).ravel()
    return np.log((p / p.sum()) / (q / q.sum()))


class Baseline:
    """Probabilities from a fitted classifier that may know scores alone.

    Scores go through a logistic regression fitted on held-out examples (Platt 1999).

    Args:
        classifier: fitted.
        texts: held-out texts.
        labels: their classes.
        label_names: the classes of the data; one that no text has gets probability 0.
    """

    def __init__(self, classifier, texts, labels, label_names: Sequence[str]):
        self.label_names = tuple(label_names)
        self._classifier = classifier
        self._scaler = None
        if not hasattr(classifier, "predict_proba"):
            self._scaler = LogisticRegression(max_iter=MAX_ITERATIONS)
            self._scaler.fit(self._scores(_cleaned(texts)), labels)

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """float64 (N, num_classes) of raw texts."""
        cleaned = _cleaned(texts)
        if self._scaler is None:
            found = self._classifier.predict_proba(cleaned)
            classes = self._classifier.classes_
        else:
            found = self._scaler.predict_proba(self._scores(cleaned))
            classes = self._scaler.classes_
        probabilities = np.zeros((len(texts), len(self.label_names)))
        probabilities[:, classes] = found
        return probabilities

    def _scores(self, cleaned):
        scores = self._classifier.decision_function(cleaned)
        return scores[:, None] if scores.ndim == 1 else scores


_METHODS = {
    "majority": _majority,
    "lexicon": _lexicon,
    "tfidf_lr": _tfidf_lr,
    "linear_svm": _linear_svm,
    "nb_svm": _nb_svm,
}

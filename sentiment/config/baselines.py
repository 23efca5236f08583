"""Classical classifiers: to compare with, and to teach."""

from dataclasses import dataclass

from sentiment.config.settings import COUNT, CheckedConfig, setting

TEACHERS = ("tfidf_lr", "linear_svm", "nb_svm")
BASELINES = ("majority", "lexicon", *TEACHERS)


@dataclass(frozen=True)
class BaselineConfig(CheckedConfig):
    """A classical classifier."""

    method: str = setting(
        "nb_svm",
        "majority: the largest class; lexicon: rules over a list of words; tfidf_lr: "
        "TF-IDF and logistic regression; linear_svm: TF-IDF and a linear SVM; nb_svm: "
        "an SVM on n-grams weighted by naive Bayes.",
        choices=BASELINES,
    )
    max_ngram: int = setting(2, "Longest n-gram of words.", at_least=1, at_most=5)
    min_count: int = setting(
        2,
        "Least number of training texts that an n-gram must occur in.",
        at_least=1,
        at_most=COUNT,
    )
    inverse_penalty: float = setting(
        1.0,
        "C of the regression or the SVM: a greater one fits the data more closely.",
        above=0,
        at_most=1e9,
    )

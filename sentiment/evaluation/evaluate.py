"""Scores of a classifier on labelled examples."""

from dataclasses import dataclass

import numpy as np

from sentiment.config import DataConfig
from sentiment.data.cleaning import comparison_key
from sentiment.data.datasets import Splits, load_split
from sentiment.data.pipeline import EncodedExamples, encode_examples
from sentiment.errors import InputError
from sentiment.evaluation.metrics import classification_metrics, reliability_bins
from sentiment.evaluation.predictions import Predictions, text_keys
from sentiment.models.ensemble import Ensemble
from sentiment.models.packed_text_classifier import PackedTextClassifier


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores, and what they and the plots come from.

    Attributes:
        metrics: as of `classification_metrics`.
        reliability: as of `reliability_bins`.
        labels: int (N,), true classes.
        probabilities: float (N, num_classes).
    """

    metrics: dict
    reliability: dict[str, np.ndarray]
    labels: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, labels, probabilities, label_names) -> "Evaluation":
        """Scores predictions."""
        return cls(
            classification_metrics(labels, probabilities, list(label_names)),
            reliability_bins(labels, probabilities),
            np.asarray(labels),
            np.asarray(probabilities),
        )

    def metrics_without(self, left_out: np.ndarray) -> dict | None:
        """The metrics without some examples; `None` if that leaves all or none.

        Args:
            left_out: bool (N,).
        """
        if left_out.all() or not left_out.any():
            return None
        names = list(self.metrics["per_class"])
        kept = ~left_out
        return classification_metrics(
            self.labels[kept], self.probabilities[kept], names
        )


def occur_in(texts: list[str], others: list[str]) -> np.ndarray:
    """Bool (N,), which of `texts` are among `others`, see `comparison_key`."""
    known = set(map(comparison_key, others))
    return np.array([comparison_key(text) in known for text in texts], bool)


def scores_of(
    evaluations: dict[str, Evaluation | None], splits: Splits
) -> tuple[dict, Predictions | None]:
    """The scores of `metrics.json`, and the test predictions.

    Where some test texts also stand in the training data, the scores without them are
    given as well, as `test_unseen`.
    """
    metrics = {
        name: evaluation.metrics
        for name, evaluation in evaluations.items()
        if evaluation is not None
    }
    test = evaluations["test"]
    if test is None:
        return metrics, None
    learnt = splits.train.texts + splits.validation.texts
    unseen = test.metrics_without(occur_in(splits.test.texts, learnt))
    if unseen is not None:
        metrics["test_unseen"] = unseen
    keys = text_keys(splits.test.texts)
    predictions = Predictions(keys, test.labels, test.probabilities, splits.label_names)
    return metrics, predictions


def evaluate_encoded(
    classifier: PackedTextClassifier,
    examples: EncodedExamples,
    batch_size: int | None = None,
) -> Evaluation:
    """Predicts all examples, each exactly once, and scores the predictions."""
    probabilities = classifier.predict_tokens(examples.tokens, batch_size)
    return Evaluation.of(examples.labels, probabilities, classifier.label_names)


def evaluate_split(
    classifier: PackedTextClassifier | Ensemble,
    config: DataConfig,
    split: str = "test",
    seed: int = 0,
    batch_size: int | None = None,
    data_classes_only: bool = False,
) -> dict:
    """Scores a loaded classifier on one split of a data set.

    Args:
        classifier: the model, with preprocessor, or several.
        config: the data settings.
        split: `train`, `validation` or `test`.
        seed: the training run's, which decides what was carved off.
        batch_size: rows computed at once.
        data_classes_only: whether answers are chosen, and probabilities shared out,
            among the classes that occur in the data alone.

    Returns:
        The metrics, as of `classification_metrics`.

    Raises:
        InputError: the data has no such split or other classes than the model.
    """
    names = classifier.label_names
    examples = load_split(config, split, seed, names, data_classes_only)

    def predict(member: PackedTextClassifier) -> np.ndarray:
        encoded = encode_examples(member.preprocessor, examples, member.speed.cache_dir)
        return member.predict_tokens(encoded.tokens, batch_size)

    if isinstance(classifier, Ensemble):
        probabilities = classifier.mean_of(predict)
    else:
        probabilities = predict(classifier)
    labels = examples.labels
    if data_classes_only:
        classes, labels = np.unique(labels, return_inverse=True)
        names = [names[i] for i in classes]
        if len(names) < 2:
            raise InputError(
                f"All of the data's rows are {names[0]!r}, so there is no choice to "
                "be scored. Leave out --data_classes_only."
            )
        probabilities = _shared_out(probabilities[:, classes])
    return Evaluation.of(labels, probabilities, names).metrics


def _shared_out(probabilities: np.ndarray) -> np.ndarray:
    """Rows that add up to 1; a row of zeros says nothing."""
    probabilities = np.asarray(probabilities, np.float64)
    total = probabilities.sum(axis=1, keepdims=True)
    equal = np.full_like(probabilities, 1 / probabilities.shape[1])
    return np.divide(probabilities, total, out=equal, where=total > 0)

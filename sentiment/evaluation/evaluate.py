"""Scores of a classifier on labelled examples."""

from dataclasses import dataclass

import numpy as np

from sentiment.config import DataConfig
from sentiment.data.datasets import load_split
from sentiment.data.pipeline import EncodedExamples, encode_examples
from sentiment.evaluation.metrics import classification_metrics, reliability_bins
from sentiment.models.packed_text_classifier import PackedTextClassifier


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores, and what plots are drawn from.

    Attributes:
        metrics: as of `classification_metrics`.
        reliability: as of `reliability_bins`.
    """

    metrics: dict
    reliability: dict[str, np.ndarray]


def evaluate_encoded(
    classifier: PackedTextClassifier,
    examples: EncodedExamples,
    batch_size: int | None = None,
) -> Evaluation:
    """Predicts all examples, each exactly once, and scores the predictions."""
    probabilities = classifier.predict_tokens(examples.tokens, batch_size)
    return Evaluation(
        classification_metrics(
            examples.labels, probabilities, list(classifier.label_names)
        ),
        reliability_bins(examples.labels, probabilities),
    )


def evaluate_split(
    classifier: PackedTextClassifier,
    config: DataConfig,
    split: str = "test",
    seed: int = 0,
    batch_size: int | None = None,
) -> dict:
    """Scores a loaded classifier on one split of a data set.

    Args:
        classifier: the model, with preprocessor.
        config: the data settings.
        split: `train`, `validation` or `test`.
        seed: the training run's, which decides what was carved off.
        batch_size: rows computed at once.

    Returns:
        The metrics, as of `classification_metrics`.

    Raises:
        InputError: the data has no such split or other classes than the model.
    """
    examples = load_split(config, split, seed, classifier.label_names)
    encoded = encode_examples(
        classifier.preprocessor, examples, classifier.speed.cache_dir
    )
    return evaluate_encoded(classifier, encoded, batch_size).metrics

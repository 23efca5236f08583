"""Unlabelled texts to learn from, labelled by a teacher or not at all.

A teacher is a classical classifier, which sees n-grams of words over the whole
review, or a trained model. What it passes on is how sure it is, which tells more than
a label would (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
"""

import logging
from dataclasses import dataclass

import numpy as np

from sentiment.baselines.classical import fit_baseline
from sentiment.config import BaselineConfig, RunConfig
from sentiment.data.corpus import without
from sentiment.data.datasets import Splits
from sentiment.data.examples import Examples
from sentiment.data.labelled_rows import read_texts
from sentiment.data.mixing import mix_texts
from sentiment.data.tfds_source import read_tfds_texts
from sentiment.errors import InputError
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.training.teachers import teacher_probabilities

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class UnlabelledTexts:
    """Texts that had no label.

    Attributes:
        examples: the texts; labels are float32 (N, num_classes), probabilities of a
            teacher, or the uniform ones without.
        weight: of these labels in the loss; 0 without a teacher.
        num_excluded: texts left out because they are in train, validation or test.
        num_repeated: texts left out because they are empty or repeat another.
        num_mixed: how many of them were made of phrases of the training texts.
        num_skipped_rows: bad rows of an own file.
    """

    examples: Examples
    weight: float
    num_excluded: int
    num_repeated: int
    num_mixed: int = 0
    num_skipped_rows: int = 0


def read_unlabelled(config: RunConfig) -> tuple[list[str], int]:
    """The texts without labels, if any are asked for, and the number of bad rows.

    Raises:
        InputError: they cannot be read.
    """
    data, unlabelled = config.data, config.unlabelled
    if unlabelled.unlabelled_file:
        return read_texts(unlabelled.unlabelled_file, data)
    split = unlabelled.unlabelled_split
    if not split:
        return [], 0
    texts = read_tfds_texts(data.dataset, data.tfds_data_dir, [split], data.text_column)
    return texts[split], 0


def label_unlabelled(
    config: RunConfig,
    splits: Splits,
    unlabelled: tuple[list[str], int],
    teacher: PackedTextClassifier | None = None,
) -> UnlabelledTexts | None:
    """Lets a teacher label the texts; a classical one is fitted here.

    Without a teacher each class is as likely, and the labels have no weight.

    Args:
        config: names the teacher, and the texts to be mixed.
        splits: what the teacher learns from; its validation part scales the
            probabilities. Texts that are in any of its parts are left out.
        unlabelled: as of `read_unlabelled`.
        teacher: as of `load_teacher`.

    Returns:
        The texts with their labels; `None` where there are none to be read.

    Raises:
        InputError: no text is left, the teacher cannot be fitted or knows other
            classes.
    """
    if not config.unlabelled.has_texts:
        return None
    known = [*splits.train.texts, *splits.validation.texts, *splits.test_texts]
    texts, num_excluded, num_repeated = without(unlabelled[0], known)
    mixed = mix_texts(splits.train.texts, config.unlabelled.mixed_texts, config.seed)
    mixed, _, _ = without(mixed, [*known, *texts])
    texts += mixed
    if not texts:
        raise InputError(
            f"No text is left to learn from: of the unlabelled ones "
            f"{num_excluded:,} are among the labelled ones, {num_repeated:,} repeat "
            f"another or are empty; {len(mixed):,} could be mixed of the training "
            "texts' words."
        )
    name = config.unlabelled.teacher
    left_out = (
        f"left out: {num_excluded:,} that are labelled already, {num_repeated:,} "
        "repeated."
    )
    if name == "none":
        logger.info(f"{len(texts):,} texts without labels; {left_out}")
        num_classes = len(splits.label_names)
        labels = np.full((len(texts), num_classes), 1 / num_classes, np.float32)
    elif teacher is not None:
        logger.info(f"{name} labels {len(texts):,} texts; {left_out}")
        labels = teacher_probabilities(teacher, splits, texts)
    else:
        teacher = fit_baseline(BaselineConfig(method=name), splits, config.seed)
        logger.info(f"{name} labels {len(texts):,} texts; {left_out}")
        labels = teacher.predict(texts).astype(np.float32)
    return UnlabelledTexts(
        Examples(texts, labels),
        weight=0.0 if name == "none" else 1.0,
        num_excluded=num_excluded,
        num_repeated=num_repeated,
        num_mixed=len(mixed),
        num_skipped_rows=unlabelled[1],
    )

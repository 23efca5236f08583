"""Unlabelled texts to learn from, labelled by teachers or not at all.

A teacher is a classical classifier, which sees n-grams of words over the whole
review, a trained model, or one whose answers stand in a table. What it passes on is how
sure it is, which tells more than a label would (Hinton et al. 2015,
https://arxiv.org/abs/1503.02531).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentiment.baselines.classical import Baseline, fit_baseline
from sentiment.config import BaselineConfig, RunConfig
from sentiment.data.cleaning import comparison_key
from sentiment.data.corpus import without
from sentiment.data.datasets import Splits
from sentiment.data.examples import Examples
from sentiment.data.labelled_rows import (
    TaughtRows,
    read_probabilities,
    read_texts,
)
from sentiment.data.labels import find_classes
from sentiment.data.mixing import mix_texts
from sentiment.data.tfds_source import read_tfds_texts
from sentiment.errors import InputError
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.training.teachers import mean_probabilities

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


@dataclass(frozen=True)
class ReadTexts:
    """Texts without labels as they were read.

    Attributes:
        texts: as they are.
        num_skipped_rows: bad rows of own files.
        taught: the same texts by file, where a teacher's probabilities stand beside
            them.
    """

    texts: list[str]
    num_skipped_rows: int = 0
    taught: tuple[TaughtRows, ...] = ()


class WrittenTeacher:
    """A teacher whose answers are known: those that stand in tables.

    Args:
        tables: what is known. What they say of the same text is averaged.
        label_names: the classes of the data. A table may know fewer, such as one of
            film reviews, which are for or against; the others have probability 0.

    Attributes:
        label_names: the classes of the data.

    Raises:
        InputError: a table knows a class that the data do not have.
    """

    def __init__(self, tables: Sequence[TaughtRows], label_names: Sequence[str]):
        self.label_names = tuple(label_names)
        classes = [self._classes_of(table) for table in tables]
        self._row_of: dict[str, int] = {}
        rows = [
            self._row_of.setdefault(comparison_key(text), len(self._row_of))
            for table in tables
            for text in table.texts
        ]
        said = np.zeros((len(rows), len(label_names)), np.float32)
        start = 0
        for table, found in zip(tables, classes, strict=True):
            said[start : start + len(table.texts), found] = table.probabilities
            start += len(table.texts)
        total = np.zeros((len(self._row_of), len(label_names)))
        np.add.at(total, rows, said)
        counts = np.bincount(rows, minlength=len(total))[:, None]
        self._probabilities = (total / counts).astype(np.float32)

    def predict(self, x: Sequence[str]) -> np.ndarray:
        """Float32 (N, num_classes) of texts of the tables."""
        return self._probabilities[[self._row_of[comparison_key(text)] for text in x]]

    def _classes_of(self, table: TaughtRows) -> np.ndarray:
        found = find_classes(table.label_names, self.label_names)
        if found is None:
            raise InputError(
                f"{table.path} has probabilities of the classes "
                f"{', '.join(table.label_names)}; the data has "
                f"{', '.join(self.label_names)}."
            )
        return found


def written_teachers(
    unlabelled: ReadTexts, label_names: Sequence[str]
) -> list[WrittenTeacher]:
    """The teacher whose answers were read with the texts, if one is asked.

    Raises:
        InputError: see `WrittenTeacher`.
    """
    if not unlabelled.taught:
        return []
    return [WrittenTeacher(unlabelled.taught, label_names)]


def read_unlabelled(config: RunConfig) -> ReadTexts:
    """The texts without labels, if any are asked for.

    Raises:
        InputError: they cannot be read.
    """
    data, unlabelled = config.data, config.unlabelled
    if unlabelled.reads_probabilities:
        tables = [read_probabilities(path, data) for path in unlabelled.unlabelled_file]
        texts = [text for table in tables for text in table.texts]
        num_skipped = sum(table.num_skipped for table in tables)
        return ReadTexts(texts, num_skipped, tuple(tables))
    if unlabelled.unlabelled_file:
        read = [read_texts(path, data) for path in unlabelled.unlabelled_file]
        texts = [text for found, _ in read for text in found]
        return ReadTexts(texts, sum(count for _, count in read))
    split = unlabelled.unlabelled_split
    if not split:
        return ReadTexts([])
    texts = read_tfds_texts(data.dataset, data.tfds_data_dir, [split], data.text_column)
    return ReadTexts(texts[split])


def label_unlabelled(
    config: RunConfig,
    splits: Splits,
    unlabelled: ReadTexts,
    trained: Sequence[PackedTextClassifier] = (),
) -> UnlabelledTexts | None:
    """Lets the teachers label the texts; classical ones are fitted here.

    Without a teacher each class is as likely, and the labels have no weight.

    Args:
        config: names the teachers, and the texts to be mixed.
        splits: what classical teachers learn from; its validation part scales their
            probabilities. Texts that are in any of its parts are left out.
        unlabelled: as of `read_unlabelled`.
        trained: the trained teachers, as of `load_teachers`.

    Returns:
        The texts with their labels; `None` where there are none to be read.

    Raises:
        InputError: no text is left, a teacher cannot be fitted or knows other
            classes.
    """
    if not config.unlabelled.has_texts:
        return None
    written = written_teachers(unlabelled, splits.label_names)
    known = [*splits.train.texts, *splits.validation.texts, *splits.test_texts]
    texts, num_excluded, num_repeated = without(unlabelled.texts, known)
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
    names = config.unlabelled.teacher
    left_out = (
        f"left out: {num_excluded:,} that are labelled already, {num_repeated:,} "
        "repeated."
    )
    if names:
        logger.info(f"{', '.join(names)} labels {len(texts):,} texts; {left_out}")
        teachers = [*trained, *written, *_fitted(config, splits)]
        labels = mean_probabilities(teachers, splits.label_names, texts)
    else:
        logger.info(f"{len(texts):,} texts without labels; {left_out}")
        num_classes = len(splits.label_names)
        labels = np.full((len(texts), num_classes), 1 / num_classes, np.float32)
    return UnlabelledTexts(
        Examples(texts, labels),
        weight=1.0 if names else 0.0,
        num_excluded=num_excluded,
        num_repeated=num_repeated,
        num_mixed=len(mixed),
        num_skipped_rows=unlabelled.num_skipped_rows,
    )


def _fitted(config: RunConfig, splits: Splits) -> list[Baseline]:
    return [
        fit_baseline(BaselineConfig(method=name), splits, config.seed)
        for name in config.unlabelled.classical_teachers
    ]

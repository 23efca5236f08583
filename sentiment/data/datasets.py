"""Data sets: which examples a run trains, validates and tests on.

A source knows its splits and reads them one at a time; `load_splits` makes of
any source the three sets of a run. To add a kind of source, write a class
like `Source` and a `SourceKind` (both in `examples.py`), and name that in `SOURCES`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from sentiment.config import BUNDLED_DATASETS, DataConfig
from sentiment.data.examples import Examples, Source, SourceKind
from sentiment.data.file_source import OWN_FILES, FileSource
from sentiment.data.labels import doubts, label_stands_in_text, match_classes
from sentiment.data.tfds_source import TFDS
from sentiment.errors import InputError

BUNDLED_ROOT = Path(__file__).parent
BUNDLED_LABELS = ("negative", "neutral", "positive")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Splits:
    """What a run trains, validates and tests on.

    Attributes:
        train, validation: never empty.
        test: `None` if there is no labelled test data.
        label_names: the classes by index.
        num_skipped_rows: bad rows of own files that were left out.
        test_texts: of all test data, also what `max_test_examples` leaves out, for
            none of them may be learnt from.
    """

    train: Examples
    validation: Examples
    test: Examples | None
    label_names: tuple[str, ...]
    num_skipped_rows: int = 0
    test_texts: Sequence[str] = ()


def bundled_files(name: str) -> dict[str, Path]:
    """The files of a data set that comes with the package, by split."""
    paths = {
        split: BUNDLED_ROOT / name / f"{split}.csv"
        for split in ("train", "validation", "test")
    }
    return {split: path for split, path in paths.items() if path.is_file()}


def _open_bundled(config: DataConfig, label_names: Sequence[str]) -> Source:
    return FileSource(bundled_files(config.dataset), label_names=BUNDLED_LABELS)


BUNDLED = SourceKind(lambda config: config.dataset in BUNDLED_DATASETS, _open_bundled)
# To add a kind of source, name its record here, before those that take its settings.
SOURCES = (BUNDLED, TFDS, OWN_FILES)


def open_source(config: DataConfig, label_names: Sequence[str] = ()) -> Source:
    """The source that the settings name.

    Args:
        config: the data settings.
        label_names: the classes of own files where `config` names none, such
            as those of a trained model; other sources know their own.

    Raises:
        InputError: see the sources.
    """
    kind = next(kind for kind in SOURCES if kind.is_named_by(config))
    return kind.open(config, label_names)


def load_splits(
    config: DataConfig, seed: int, label_names: Sequence[str] = ()
) -> Splits:
    """Reads a run's data.

    Where there is no validation data it is carved from the training data,
    stratified and by seed. The test data is never used for that.

    Args:
        config: the data settings.
        seed: decides what is drawn and carved.
        label_names: the classes where `config` names none.

    Raises:
        InputError: see the sources; or there is no training data, or it has
            one class only, or too few examples to carve validation from.
    """
    source = open_source(config, label_names)
    train, validation = _train_and_validation(source, config, seed)
    for doubt in doubts(train.labels.tolist(), source.label_names):
        advice = "" if config.dataset else " --label_map can join classes."
        logger.warning(f"{doubt}{advice}")
    _warn_of_labels_in_texts(train, source.label_names)
    test = source.read("test") if "test" in source.splits else None
    test_texts = test.texts if test is not None else ()
    if test is not None and config.max_test_examples:
        test = _draw(test, config.max_test_examples, seed)
    return Splits(
        train,
        validation,
        test,
        source.label_names,
        source.num_skipped_rows,
        test_texts,
    )


def load_split(
    config: DataConfig,
    split: str,
    seed: int,
    label_names: Sequence[str],
    may_lack_classes: bool = False,
) -> Examples:
    """Reads one split, the same examples as `load_splits` gives it.

    Args:
        config: the data settings.
        split: `train`, `validation` or `test`.
        seed: the seed of the training run, which decides what was carved.
        label_names: the classes of the model that is to read them.
        may_lack_classes: whether the data may have fewer classes than that. Those of
            own files are then what occurs in them, and never indices.

    Returns:
        The examples, labels being indices into `label_names`, whatever order
        the data has its classes in.

    Raises:
        InputError: the data has no such split, or other classes.
    """
    source = open_source(config, () if may_lack_classes else label_names)
    class_of = match_classes(source.label_names, label_names, may_lack_classes)
    examples = _read_split(source, config, split, seed)
    _warn_of_labels_in_texts(examples, source.label_names)
    return Examples(examples.texts, class_of[examples.labels])


def _warn_of_labels_in_texts(examples: Examples, label_names: Sequence[str]):
    names = [label_names[code] for code in examples.labels]
    share = label_stands_in_text(examples.texts, names, label_names)
    if share > 0.95:
        logger.warning(
            f"In {share:.0%} of the texts the label stands in the text, and no other: "
            "a model may read it there and be right for nothing. Check --text_column."
        )


def _read_split(source: Source, config: DataConfig, split: str, seed: int) -> Examples:
    if split in source.splits and split != "train":
        examples = source.read(split)
        if split == "test" and config.max_test_examples:
            examples = _draw(examples, config.max_test_examples, seed)
        return examples
    if split == "test" or "train" not in source.splits:
        raise InputError(
            f"The data has no labelled {split} split. It has: "
            f"{', '.join(source.splits)}."
        )
    train, validation = _train_and_validation(source, config, seed)
    return train if split == "train" else validation


def _train_and_validation(
    source: Source, config: DataConfig, seed: int
) -> tuple[Examples, Examples]:
    if "train" not in source.splits:
        raise InputError("There is no training data: give --train_file or --dataset.")
    train = source.read("train")
    if config.max_train_examples:
        train = _draw(train, config.max_train_examples, seed)
    present = np.unique(train.labels)
    if len(present) < 2:
        raise InputError(
            "The training data has one class only, "
            f"{source.label_names[present[0]]!r}, in {len(train)} examples. There is "
            "nothing to tell apart; check --label_column."
        )
    if "validation" in source.splits:
        return train, source.read("validation")
    return _carve(train, config.validation_fraction, seed)


def _draw(examples: Examples, count: int, seed: int) -> Examples:
    """At most `count` examples, stratified where every class allows it."""
    if count >= len(examples):
        return examples
    indices = np.arange(len(examples))
    drawn, _ = _split_stratified(indices, examples.labels, count, seed)
    return examples.take(drawn)


def _carve(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Splits off `fraction` of every class for validation."""
    counts = np.bincount(examples.labels)
    # A class's only example stays in training.
    is_single = counts[examples.labels] == 1
    indices = np.flatnonzero(~is_single)
    num_validation = max(1, round(fraction * len(indices)))
    num_classes = len(np.unique(examples.labels[indices]))
    if num_validation < num_classes or len(indices) - num_validation < num_classes:
        raise InputError(
            f"{len(examples)} training examples are too few to carve a validation set "
            f"of {fraction:.0%} with every class in it. Give more examples, "
            "--validation_file or another --validation_fraction."
        )
    train, validation = _split_stratified(
        indices, examples.labels[indices], len(indices) - num_validation, seed
    )
    train = np.concatenate([train, np.flatnonzero(is_single)])
    return examples.take(np.sort(train)), examples.take(np.sort(validation))


def _split_stratified(indices, labels, train_size, seed):
    counts = np.bincount(labels)
    num_classes = np.count_nonzero(counts)
    sizes = (train_size, len(indices) - train_size)
    can_stratify = counts[counts > 0].min() >= 2 and min(sizes) >= num_classes
    return train_test_split(
        indices,
        train_size=train_size,
        random_state=seed,
        stratify=labels if can_stratify else None,
    )

"""Trained models that teach others: their probabilities as labels, their head.

What a teacher passes on is how sure it is, which tells more than a label would
(Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
"""

from collections.abc import Sequence

import numpy as np

from sentiment.config import (
    AUTO_POOLING,
    COLUMNS,
    TEACHERS,
    ModelConfig,
    RunConfig,
)
from sentiment.data.datasets import Splits
from sentiment.data.examples import Examples
from sentiment.data.labels import match_classes
from sentiment.data.pipeline import as_probabilities
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.ensemble import Ensemble, Member
from sentiment.models.packed_text_classifier import HEAD_LAYERS, PackedTextClassifier


def load_teachers(config: RunConfig) -> list[PackedTextClassifier]:
    """The trained models among the teachers.

    Raises:
        InputError: one cannot be loaded.
    """
    teachers = []
    for name in config.unlabelled.trained_teachers:
        try:
            teachers.append(load_classifier(name, config.speed))
        except InputError as error:
            raise InputError(
                f"--teacher={name} is none of {', '.join([*TEACHERS, COLUMNS])}, and "
                f"no trained model either: {error}"
            ) from error
    return teachers


def load_kept_head(config: ModelConfig) -> PackedTextClassifier | None:
    """The classifier that the preset is, where its head is kept.

    Raises:
        InputError: it is none, or has another pooling than the one that is asked for.
    """
    if not config.keep_head:
        return None
    try:
        classifier = load_classifier(config.preset)
    except InputError as error:
        raise InputError(
            f"--keep_head wants a classifier as --preset: {error}"
        ) from error
    if config.pooling not in (AUTO_POOLING, classifier.pooling):
        raise InputError(
            f"The head of {config.preset} reads what --pooling={classifier.pooling} "
            f"gives. Received: --pooling={config.pooling} beside --keep_head."
        )
    return classifier


def copy_head(student: PackedTextClassifier, teacher: PackedTextClassifier):
    """Gives a student the pooling and head of its teacher, if they are alike.

    Raises:
        InputError: see `classes_of`.
    """
    forms = [
        (model.head_form, model.backbone.hidden_dim) for model in (student, teacher)
    ]
    if forms[0] != forms[1]:
        return
    class_of = classes_of(teacher, student.label_names)
    for name in HEAD_LAYERS:
        if getattr(teacher, name):
            weights = getattr(teacher, name).get_weights()
            if name == "logits_dense":
                weights = [array[..., class_of] for array in weights]
            getattr(student, name).set_weights(weights)


def soften(
    config: RunConfig, splits: Splits, teachers: Sequence[PackedTextClassifier]
) -> Examples:
    """The training examples, the teachers' probabilities mixed into their labels.

    Args:
        config: says how great their share is.
        splits: of the run.
        teachers: as of `load_teachers`.

    Raises:
        InputError: a teacher knows other classes.
    """
    share, train = config.unlabelled.teacher_weight, splits.train
    if not share:
        return train
    certain = as_probabilities(train.labels, len(splits.label_names))
    taught = mean_probabilities(teachers, splits.label_names, train.texts)
    return Examples(train.texts, (1 - share) * certain + share * taught)


def classes_of(teacher: Member, label_names: Sequence[str]) -> np.ndarray:
    """The teacher's class of each of `label_names`.

    Raises:
        InputError: it knows other classes.
    """
    try:
        return match_classes(label_names, teacher.label_names)
    except InputError as error:
        raise InputError(
            f"The teacher knows the classes {', '.join(teacher.label_names)}; the data "
            f"has {', '.join(label_names)}. Give another --teacher, or --label_names "
            "with the teacher's names in the order of the data's classes. (With "
            "--keep_head, the preset is the teacher.)"
        ) from error


def mean_probabilities(
    teachers: Sequence[Member], label_names: Sequence[str], texts: list[str]
) -> np.ndarray:
    """The mean of what the teachers give, float32 (N, num_classes).

    Args:
        teachers: at least one.
        label_names: the classes in the order that is wanted.
        texts: what they are asked about.

    Raises:
        InputError: a teacher knows other classes.
    """
    for teacher in teachers:
        classes_of(teacher, label_names)  # Names the one that knows others.
    all_of_them = Ensemble(teachers)
    mean = all_of_them.mean_of(lambda teacher: teacher.predict(texts))
    return mean[:, classes_of(all_of_them, label_names)]

"""Loss and metrics over packed rows, where each slot is one review."""

import keras
import numpy as np
from keras import ops

TINY = 1e-7  # nats


@keras.saving.register_keras_serializable(package="sentiment")
class ReviewCrossentropy(keras.losses.Loss):
    """Cross-entropy from logits, one value per review.

    loss = -weight[y] * sum_c q_c log softmax(logits)_c, where q mixes the
    one-hot label with the uniform distribution (Szegedy et al. 2016). A label may
    be a distribution instead, as a teacher gives it; its weight is then the mean
    of the classes' weights under it. With a focus gamma each log p_c is multiplied
    by (1 - p_c) ** gamma (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    Args:
        label_smoothing: float in [0, 1), share of the uniform distribution.
        focal_gamma: float, at least 0; how much less reviews count that are
            classified well already.
        class_weight: sequence of floats, one per class, or `None` for ones.

    Call arguments:
        y_true: int (..., max_segments), or float (..., max_segments, num_classes).
        y_pred: float (..., max_segments, num_classes), logits.
    """

    def __init__(
        self,
        label_smoothing=0.0,
        class_weight=None,
        focal_gamma=0.0,
        name="review_crossentropy",
        reduction="sum",
        **kwargs,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.label_smoothing = label_smoothing
        self.class_weight = None if class_weight is None else list(class_weight)
        self.focal_gamma = focal_gamma

    def call(self, y_true, y_pred):
        num_classes = y_pred.shape[-1]
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        label = y_true
        if len(label.shape) < len(y_pred.shape):
            label = ops.one_hot(ops.cast(label, "int32"), num_classes, dtype="float32")
        target = (
            label * (1.0 - self.label_smoothing) + self.label_smoothing / num_classes
        )
        cost = -log_probabilities
        if self.focal_gamma:
            # -expm1 keeps the slope finite where p is 1 in float32.
            miss = -ops.expm1(ops.minimum(log_probabilities, -TINY))
            cost = cost * miss**self.focal_gamma
        loss = ops.sum(target * cost, axis=-1)
        if self.class_weight is not None:
            weights = np.asarray(self.class_weight, "float32")
            loss = loss * ops.sum(label * weights, axis=-1)
        return loss

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "class_weight": self.class_weight,
            "focal_gamma": self.focal_gamma,
        }


@keras.saving.register_keras_serializable(package="sentiment")
class MacroF1(keras.metrics.F1Score):
    """Unweighted mean of the classes' F1 scores, over packed slots.

    `keras.metrics.F1Score` wants one-hot labels of shape (N, num_classes);
    this one takes labels (batch, max_segments) and logits (batch,
    max_segments, num_classes).
    """

    def __init__(self, num_classes, name="macro_f1", **kwargs):
        super().__init__(average="macro", name=name, **kwargs)
        self.num_classes = num_classes
        self._build((None, num_classes), (None, num_classes))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.one_hot(ops.reshape(y_true, (-1,)), self.num_classes)
        y_pred = ops.softmax(ops.reshape(y_pred, (-1, self.num_classes)))
        if sample_weight is not None:
            sample_weight = ops.reshape(sample_weight, (-1,))
        return super().update_state(y_true, y_pred, sample_weight)

    def get_config(self):
        config = super().get_config()
        return {
            "num_classes": self.num_classes,
            "name": config["name"],
            "dtype": config["dtype"],
        }

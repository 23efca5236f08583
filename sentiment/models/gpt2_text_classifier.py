"""GPT-2 with pooled hidden states and a Dense head."""

import keras
import keras_hub

from sentiment.config import SpeedConfig
from sentiment.errors import InputError
from sentiment.models.adversarial import EmbeddingPerturbation
from sentiment.models.architectures import packed_layers
from sentiment.models.gpt2_text_classifier_preprocessor import (
    DEFAULT_SEQUENCE_LENGTH,
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.packed_backbone import SegmentLayout, embed_tokens
from sentiment.models.packed_causal_lm import AuxiliaryLanguageLoss
from sentiment.models.packed_text_classifier import PackedTextClassifier
from sentiment.models.pooling import POOLINGS


@keras.saving.register_keras_serializable(package="sentiment")
class GPT2TextClassifier(PackedTextClassifier):
    """An end-to-end GPT-2 model for text classification.

    A `keras_hub.models.GPT2Backbone` reads the text, a pooling layer makes
    one vector of its hidden states, a Dense softmax head classifies it.
    Several texts share a row (packing); the backbone's own layers are used
    and `classifier.backbone` stays a plain `GPT2Backbone`.

    The model is called on packed rows and returns logits; `predict` takes
    raw strings and returns probabilities.

    Args:
        backbone: a `keras_hub.models.GPT2Backbone`.
        num_classes: int, at least 2.
        preprocessor: a `GPT2TextClassifierPreprocessor` or `None`.
        pooling: one of `last`, `mean`, `max`, `attention`, `concat` (last,
            mean and max), `rnn`, `gru`, `lstm`.
        dropout: float in [0, 1), on the pooled vector.
        label_names: sequence of str, one per class, or `None` for "0", "1", ...

    Inputs:
        token_ids: int (batch, row_length).
        segment_lengths: int (batch, max_segments), tokens of each text in the
            row, 0 in unused slots, which come last.

    Returns:
        float32 (batch, max_segments, num_classes), logits.

    Raises:
        InputError: an unknown pooling, fewer than two classes, label names
            that do not fit, or a `sequence_length` beyond the backbone's
            position table (which would give NaN).

    Examples:
    ```python
    import sentiment

    # Pretrained backbone, fresh head.
    classifier = sentiment.GPT2TextClassifier.from_preset(
        "gpt2_base_en", num_classes=2, label_names=["negative", "positive"]
    )
    classifier.fit(["Lovely.", "Dreadful."], [1, 0])
    classifier.predict(["Not bad at all!"])  # float32 (1, 2)

    # A finished classifier.
    classifier = sentiment.GPT2TextClassifier.from_preset("runs/imdb/preset")

    # Random weights, no preprocessor.
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=1000, num_layers=2, num_heads=2, hidden_dim=64,
        intermediate_dim=128, max_sequence_length=128,
    )
    classifier = sentiment.GPT2TextClassifier(backbone, num_classes=3)
    ```

    Reference:
    - [Radford et al., 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf)
    - [Radford et al., 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf)
    """

    backbone_cls = keras_hub.models.GPT2Backbone
    preprocessor_cls = GPT2TextClassifierPreprocessor

    def __init__(
        self,
        backbone,
        num_classes,
        preprocessor=None,
        pooling="last",
        dropout=0.1,
        label_names=None,
        **kwargs,
    ):
        label_names = _check_label_names(label_names, num_classes)
        if pooling not in POOLINGS:
            raise InputError(
                f"pooling must be one of {', '.join(POOLINGS)}. Received: {pooling!r}."
            )

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.segment_layout = SegmentLayout(name="segment_layout")
        self.perturbation = EmbeddingPerturbation(name="perturbation")
        self.decoder = packed_layers(backbone, reads_last=pooling == "last")
        self.language_loss = AuxiliaryLanguageLoss(backbone, name="language_loss")
        self.pooler = POOLINGS[pooling](name="pooler")
        self.pooled_dropout = keras.layers.Dropout(
            dropout, dtype="float32", name="pooled_dropout"
        )
        self.logits_dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )

        # === Functional Model ===
        inputs = {
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "segment_lengths": keras.Input(
                (None,), dtype="int32", name="segment_lengths"
            ),
        }
        token_ids, segment_lengths = inputs["token_ids"], inputs["segment_lengths"]
        segment_ids, positions = self.segment_layout(token_ids, segment_lengths)
        embeddings = embed_tokens(backbone, token_ids, positions)
        embeddings = self.perturbation(embeddings)
        hidden_states = self.decoder(embeddings, segment_ids, segment_lengths)
        hidden_states = self.language_loss(
            hidden_states, token_ids, segment_ids, segment_lengths
        )
        pooled = self.pooler(hidden_states, segment_ids, segment_lengths)
        outputs = self.logits_dense(self.pooled_dropout(pooled))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.pooling = pooling
        self.dropout = dropout
        self.label_names = label_names

    @keras_hub.models.TextClassifier.preprocessor.setter
    def preprocessor(self, value):
        if value is not None:
            fit_sequence_length(value, self.backbone.max_sequence_length)
        self._preprocessor = value

    @property
    def speed(self) -> SpeedConfig:
        """The fast paths in use; not saved, for they change no prediction."""
        return self.decoder.speed

    @speed.setter
    def speed(self, value: SpeedConfig):
        self.decoder.speed = value
        # What was compiled took the old paths.
        self.train_function = self.test_function = self.predict_function = None

    @property
    def lm_loss_weight(self) -> float:
        """Weight of the auxiliary language model's loss; not saved."""
        return self.language_loss.weight

    @lm_loss_weight.setter
    def lm_loss_weight(self, value: float):
        self.language_loss.weight = value
        # Every hidden state is read then.
        self.decoder.reads_last = self.pooling == "last" and not value
        self.train_function = self.test_function = self.predict_function = None

    def with_backbone(self, backbone, preprocessor=None):
        """A classifier with this one's pooling and head on another backbone.

        Args:
            backbone: one whose hidden states have the same width.
            preprocessor: by default this one's.

        Returns:
            A classifier of the same class, with a copy of pooling and head.
        """
        other = type(self)(
            backbone,
            self.num_classes,
            preprocessor=preprocessor or self.preprocessor,
            pooling=self.pooling,
            dropout=self.dropout,
            label_names=self.label_names,
        )
        for mine, its in (
            (self.pooler, other.pooler),
            (self.logits_dense, other.logits_dense),
        ):
            its.set_weights(mine.get_weights())
        other.speed = self.speed
        return other

    @classmethod
    def from_config(cls, config):
        names = config.get("label_names")
        if names is not None and len(names) != config["num_classes"]:
            # `from_preset(num_classes=...)` puts another number into the saved
            # config; the names belong to the head that it replaces.
            config = {**config, "label_names": None}
        return super().from_config(config)

    def get_config(self):
        config = super().get_config()
        config.update(
            num_classes=self.num_classes,
            pooling=self.pooling,
            dropout=self.dropout,
            label_names=list(self.label_names),
        )
        return config


def _check_label_names(label_names, num_classes) -> tuple[str, ...]:
    if num_classes < 2:
        raise InputError(f"num_classes must be at least 2. Received: {num_classes}.")
    if label_names is None:
        return tuple(str(i) for i in range(num_classes))
    label_names = tuple(label_names)
    if len(label_names) != num_classes or len(set(label_names)) != num_classes:
        raise InputError(
            f"label_names must be {num_classes} different names, one per class. "
            f"Received: {list(label_names)}."
        )
    return label_names


def fit_sequence_length(preprocessor, max_positions):
    """Sets a preprocessor's default sequence length, and checks a chosen one.

    Raises:
        InputError: it is beyond the backbone's `max_positions`.
    """
    if preprocessor.sequence_length is None:
        preprocessor.sequence_length = min(DEFAULT_SEQUENCE_LENGTH, max_positions)
    if preprocessor.sequence_length > max_positions:
        raise InputError(
            f"sequence_length={preprocessor.sequence_length} is beyond the backbone's "
            f"{max_positions} positions, which would give NaN. Use at most "
            f"{max_positions}."
        )

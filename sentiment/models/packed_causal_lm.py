"""A causal language model over packed rows."""

import contextlib

import keras
from keras import ops

from sentiment.models.backbones import kind_of
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.next_token_loss import next_token_loss
from sentiment.models.packed_language_model import PackedLanguageModel


class PackedCausalLM(PackedLanguageModel):
    """Predicts each next token of several documents per row.

    The head is the token embedding, transposed, as in GPT-2, or a kind's own.

    Args:
        backbone: of a causal kind, for instance a `keras_hub.models.GPT2Backbone` or
            an `RNNBackbone`; it is trained in place.

    Inputs:
        token_ids: int (batch, row_length).
        segment_lengths: int (batch, max_segments), tokens of each document in the
            row, 0 in unused slots, which come last.

    Returns:
        float (batch, row_length, hidden_dim), hidden states. `logits` turns them
        into scores of the next token.

    Raises:
        InputError: an unknown kind of backbone, or one that is not causal.
    """

    def __init__(self, backbone, **kwargs):
        kind = kind_of(backbone)
        kind.check_causal("A language model")

        # === Layers ===
        segment_layout = SegmentLayout(name="segment_layout")
        packed_layers = kind.packed_layers(backbone)

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        segment_lengths = keras.Input((None,), dtype="int32", name="segment_lengths")
        segment_ids, positions = segment_layout(token_ids, segment_lengths)
        embeddings = kind.embed(backbone, token_ids, positions)
        outputs = packed_layers(embeddings, segment_ids, segment_lengths)
        inputs = {"token_ids": token_ids, "segment_lengths": segment_lengths}
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.backbone = backbone
        self.packed_layers = packed_layers

    def logits(self, hidden_states):
        """float32 (..., vocabulary_size), unnormalised scores of the next token."""
        logits = self.backbone.token_embedding(hidden_states, reverse=True)
        return ops.cast(logits, "float32")

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Nats, summed over the batch's targets.

        Args:
            x: not used.
            y: int (batch, row_length), the token after each.
            y_pred: hidden states.
            sample_weight: float (batch, row_length), 0 where there is no target.
            training: not used.
        """
        head = kind_of(self.backbone).language_head(self.backbone)
        return next_token_loss(y_pred, head, y, sample_weight)


@keras.saving.register_keras_serializable(package="sentiment")
class AuxiliaryLanguageLoss(keras.layers.Layer):
    """Adds a language model's loss to a classifier's, in training.

    For each review the mean over its tokens of -log p(next token), times `weight`
    (Radford et al. 2018, section 3.2, where it is 0.5). Hidden states pass unchanged.

    Args:
        backbone: it has the head, too.

    Call arguments:
        hidden_states: float (batch, row_length, hidden_dim).
        token_ids: int (batch, row_length).
        segment_ids: int (batch, row_length), 0 is padding.
        segment_lengths: int (batch, max_segments).

    Attributes:
        weight: float, 0 adds nothing; set by the classifier's `compile`.
    """

    def __init__(self, backbone, **kwargs):
        super().__init__(dtype=backbone.dtype_policy, **kwargs)
        self.backbone = backbone
        self.weight = 0.0
        self._scale = 1.0
        self.built = True  # The backbone is.

    @contextlib.contextmanager
    def scaled_by(self, scale):
        """While this holds, the loss is multiplied by `scale`, too."""
        self._scale = scale
        try:
            yield
        finally:  # Values of a trace must not outlive it.
            self._scale = 1.0

    def call(
        self, hidden_states, token_ids, segment_ids, segment_lengths, training=False
    ):
        if training and self.weight:
            targets = ops.roll(token_ids, -1, axis=1)
            following = ops.roll(segment_ids, -1, axis=1)
            has_next = (following == segment_ids) & (segment_ids > 0)
            has_next &= ops.arange(token_ids.shape[1]) < token_ids.shape[1] - 1
            slot = ops.maximum(segment_ids - 1, 0)
            lengths = ops.take_along_axis(segment_lengths, slot, axis=1)
            weights = has_next / ops.maximum(lengths - 1, 1)
            head = kind_of(self.backbone).language_head(self.backbone)
            loss = next_token_loss(hidden_states, head, targets, weights)
            self.add_loss(self.weight * self._scale * loss)
        return hidden_states

    def compute_output_spec(self, hidden_states, *_, **__):
        return keras.KerasTensor(hidden_states.shape, dtype=self.compute_dtype)

"""A masked language model over packed rows."""

import keras
import numpy as np
from keras import ops

from sentiment.errors import InputError
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.next_token_loss import next_token_loss
from sentiment.models.packed_language_model import PackedLanguageModel


class MaskedTokenHead(keras.layers.Layer):
    """What makes of a hidden state something to compare with token embeddings.

    A dense layer, its activation and a norm, as in BERT, and a bias for each token.

    Args:
        vocabulary_size: int, tokens.
        embedding_dim: int, width of the token embeddings.
        layer_norm_epsilon: float.

    Call arguments:
        hidden_states: float (..., hidden_dim).

    Returns:
        float (..., embedding_dim).
    """

    def __init__(self, vocabulary_size, embedding_dim, layer_norm_epsilon, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.dense = keras.layers.Dense(
            embedding_dim,
            "gelu",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name="layer_norm"
        )

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.norm.build((*input_shape[:-1], self.dense.units))
        self.bias = self.add_weight(
            (self.vocabulary_size,), initializer="zeros", name="bias"
        )

    def call(self, hidden_states):
        return self.norm(self.dense(hidden_states))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.dense.units)


class PackedMaskedLM(PackedLanguageModel):
    """Finds hidden tokens of several documents per row (Devlin et al. 2019).

    Args:
        backbone: of a kind whose objective is `mlm`, for instance a
            `keras_hub.models.BertBackbone`; it is trained in place.

    Inputs:
        token_ids: int (batch, row_length), with hidden tokens.
        segment_lengths: int (batch, max_segments), tokens of each document in the
            row, 0 in unused slots, which come last.
        masked_positions: int (batch, num_masked), places of a row that are looked at.

    Returns:
        float (batch, num_masked, embedding_dim), of these places alone.

    Raises:
        InputError: an unknown kind of backbone, or one that learns otherwise.
    """

    def __init__(self, backbone, **kwargs):
        kind = kind_of(backbone)
        if kind.objective != "mlm":
            raise InputError(
                "A masked language model needs an encoder that learns to find hidden "
                f"tokens. Received: a {type(backbone).__name__}."
            )
        embedding_dim = backbone.token_embedding.embeddings.shape[1]

        # === Layers ===
        segment_layout = SegmentLayout(name="segment_layout")
        packed_layers = kind.packed_layers(backbone)
        head = MaskedTokenHead(
            kind.vocabulary_size(backbone),
            embedding_dim,
            kind.layer_norm_epsilon,
            dtype=backbone.dtype_policy,
            name="head",
        )

        # === Functional Model ===
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_lengths", "masked_positions")
        }
        token_ids, segment_lengths = inputs["token_ids"], inputs["segment_lengths"]
        segment_ids, positions = segment_layout(token_ids, segment_lengths)
        embeddings = kind.embed(backbone, token_ids, positions)
        hidden_states = packed_layers(embeddings, segment_ids, segment_lengths)
        places = ops.expand_dims(inputs["masked_positions"], -1)
        outputs = head(ops.take_along_axis(hidden_states, places, axis=1))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.backbone = backbone
        self.packed_layers = packed_layers
        self.head = head

    def set_head(self, weights: dict[str, np.ndarray]):
        """Takes over a pretrained head.

        Args:
            weights: arrays `kernel`, `bias`, `gamma`, `beta` and `token_bias`.
        """
        head = self.head
        head.dense.set_weights([weights["kernel"], weights["bias"]])
        head.norm.set_weights([weights["gamma"], weights["beta"]])
        head.bias.assign(weights["token_bias"])

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Nats, summed over the hidden tokens.

        Args:
            x: not used.
            y: int (batch, num_masked), what stood there.
            y_pred: the outputs.
            sample_weight: float (batch, num_masked), 0 in unused places.
            training: not used.
        """
        table = ops.convert_to_tensor(self.backbone.token_embedding.embeddings)
        bias = ops.cast(ops.convert_to_tensor(self.head.bias), table.dtype)
        # The bias is the embedding's weight for a feature that is always 1.
        table = ops.concatenate([table, bias[:, None]], axis=1)
        ones = ops.ones_like(y_pred[..., :1])
        states = ops.concatenate([y_pred, ones], axis=-1)
        return next_token_loss(states, table, y, sample_weight)

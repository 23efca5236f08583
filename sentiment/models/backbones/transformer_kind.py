"""What decoders and encoders of KerasHub's have in common."""

import keras
from keras import ops
from keras_hub.src.utils.keras_utils import gelu_approximate

from sentiment.config import BackboneConfig
from sentiment.errors import InputError
from sentiment.models.backbones.kind import BackboneKind, check_settings
from sentiment.models.backbones.packed_encoder import PackedEncoder

# Keras' by Hugging Face's names.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_approximate",
    "gelu_fast": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def fresh_sizes(config: BackboneConfig) -> dict:
    """Arguments of KerasHub's transformers with a table of positions, from settings."""
    return {**block_sizes(config), "max_sequence_length": config.max_positions}


def block_sizes(config: BackboneConfig) -> dict:
    """Those of them that blocks have."""
    return {
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "hidden_dim": config.hidden_dim,
        "intermediate_dim": config.intermediate_dim,
        "dropout": config.dropout,
    }


def embed_jointly(layer, token_ids, positions):
    """Tokens plus positions of a `keras_hub.layers.TokenAndPositionEmbedding`."""
    tokens = layer.token_embedding(token_ids)
    return tokens + layer.position_embedding(tokens, positions=positions)


class TransformerKind(BackboneKind):
    """Blocks are `keras_hub.layers.TransformerDecoder` or `TransformerEncoder`."""

    is_adaptable = True

    def blocks(self, backbone):
        return backbone.transformer_layers

    def lora_layers(self, block):
        attention = block._self_attention_layer
        return {
            "query": attention.query_dense,
            "key": attention.key_dense,
            "value": attention.value_dense,
            "output": attention.output_dense,
            "intermediate": block._feedforward_intermediate_dense,
            "feedforward": block._feedforward_output_dense,
        }


class EncoderKind(TransformerKind):
    """Encoders like BERT: tokens see each other in both directions.

    Attributes:
        activation: of the feed-forward layers in `backbone_class`.
        layer_norm_epsilon: of the norms in `backbone_class`.
        has_embedding_dim: whether embeddings may have a width of their own.
        vocabulary_argument: what `backbone_class` calls the number of tokens.
    """

    is_causal = False
    objective = "mlm"
    default_pooling = "cls"
    embedding_names = (
        "token_embedding",
        "position_embedding",
        "segment_embedding",
        "embeddings_layer_norm",
    )
    activation = "gelu"
    layer_norm_epsilon = 1e-12
    has_embedding_dim = False
    vocabulary_argument = "vocabulary_size"

    def fresh(self, config, vocabulary_size, dtype):
        sizes = {self.vocabulary_argument: vocabulary_size, **fresh_sizes(config)}
        if self.has_embedding_dim:
            sizes["embedding_dim"] = config.hidden_dim
        return self.backbone_class(**sizes, dtype=dtype)

    def vocabulary_size(self, backbone):
        return getattr(backbone, self.vocabulary_argument)

    def embed(self, backbone, token_ids, positions):
        tokens = backbone.token_embedding(token_ids)
        positions = backbone.position_embedding(tokens, positions=positions)
        # The first of the two token types, for all tokens of a row at once. Made of
        # the row: what is made of nothing would be a constant of the model.
        segments = backbone.segment_embedding(ops.zeros_like(token_ids[:, :1]))
        return backbone.embeddings_add((tokens, positions, segments))

    def packed_layers(self, backbone):
        return PackedEncoder(backbone, name="encoder")

    def huggingface_arguments(self, config):
        """Refuses what `backbone_class` does not compute."""
        name = config.get("hidden_act") or config.get("activation") or "gelu"
        if name not in ACTIVATIONS:
            raise InputError(
                f"Its activation must be one of {', '.join(ACTIVATIONS)}. "
                f"Received: {name!r}."
            )
        kind = config.get("position_embedding_type") or "absolute"
        if kind != "absolute":
            raise InputError(f"Its positions must be absolute. Received: {kind!r}.")
        check_settings(config, {"layer_norm_eps": self.layer_norm_epsilon})
        return self.with_activation(ACTIVATIONS[name])

    def with_activation(self, name: str) -> tuple[type, dict]:
        """A class of backbones with this activation, and arguments that it wants."""
        if name == self.activation:
            return self.backbone_class, {}
        if not self.variants:
            raise InputError(
                f"A {self.backbone_class.__name__} computes with {self.activation}. "
                f"Received: {name}."
            )
        return self.variants[0], {"activation": name}


class JointEmbeddingKind(EncoderKind):
    """Encoders whose tokens and positions are embedded by one layer."""

    def embed(self, backbone, token_ids, positions):
        return embed_jointly(backbone.embeddings, token_ids, positions)


def with_any_activation(base: type) -> type:
    """A registered subclass of a KerasHub encoder that takes an activation, too.

    KerasHub's BERT, ALBERT and ELECTRA have the approximate GELU of the first
    TensorFlow checkpoints. Hugging Face's have the exact one unless their configuration
    says otherwise; hidden states differ by up to 1e-2.

    Args:
        base: a class of KerasHub's.
    """

    class Backbone(base):
        def __init__(self, *args, activation="gelu", **kwargs):
            super().__init__(*args, **kwargs)
            self.activation = activation
            is_known = activation != "gelu_approximate"  # to Keras
            function = (
                keras.activations.get(activation) if is_known else gelu_approximate
            )
            for layer in self._flatten_layers(include_self=False):
                if hasattr(layer, "_feedforward_intermediate_dense"):
                    layer.activation = function
                    layer._feedforward_intermediate_dense.activation = function

        def get_config(self):
            return {**super().get_config(), "activation": self.activation}

    Backbone.__name__ = Backbone.__qualname__ = f"HuggingFace{base.__name__}"
    Backbone.__doc__ = f"`keras_hub.models.{base.__name__}` with any `activation`."
    return keras.saving.register_keras_serializable(package="sentiment")(Backbone)

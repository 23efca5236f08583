"""What decoders with rotary positions have in common."""

from typing import ClassVar

from keras import ops

from sentiment.errors import InputError
from sentiment.models.backbones.kind import (
    SequenceHead,
    UnplacedKind,
    check_settings,
)
from sentiment.models.backbones.packed_rotary_decoder import PackedRotaryDecoder
from sentiment.models.backbones.porting import transposed

# KerasHub's layers of a block by Hugging Face's names.
_NORMS = {
    "input_layernorm": "_self_attention_layernorm",
    "post_attention_layernorm": "_feedforward_layernorm",
}
_ATTENTION = {
    "q_proj": "_query_dense",
    "k_proj": "_key_dense",
    "v_proj": "_value_dense",
    "o_proj": "_output_dense",
}
_FEED_FORWARD = {
    "gate_proj": "_feedforward_gate_dense",
    "up_proj": "_feedforward_intermediate_dense",
    "down_proj": "_feedforward_output_dense",
}
_ATTENTION_NORMS = {
    "q_norm": "_query_dense_layer_norm",
    "k_norm": "_key_dense_layer_norm",
}


class RotaryKind(UnplacedKind):
    """Decoders whose attention turns queries and keys by their places (RoPE).

    Attributes:
        settings: entries of a Hugging Face config that must have one value, which is
            what `backbone_class` computes and transformers takes by default.
    """

    is_adaptable = True
    huggingface_prefix = "model"
    sequence_head = SequenceHead("last")
    embedding_names = ("token_embedding",)
    settings: ClassVar[dict] = {
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
    }

    def packed_layers(self, backbone):
        return PackedRotaryDecoder(backbone, name="decoder")

    def blocks(self, backbone):
        return backbone.transformer_layers

    def language_head(self, backbone):
        embedding = backbone.token_embedding
        if embedding.tie_weights:
            return super().language_head(backbone)
        return ops.transpose(embedding.reverse_embeddings)

    def lora_layers(self, block):
        attention = block._self_attention_layer
        return {
            "query": attention._query_dense,
            "key": attention._key_dense,
            "value": attention._value_dense,
            "output": attention._output_dense,
            "gate": block._feedforward_gate_dense,
            "intermediate": block._feedforward_intermediate_dense,
            "feedforward": block._feedforward_output_dense,
        }

    def huggingface_arguments(self, config):
        """Refuses what `backbone_class` does not compute."""
        check_settings(config, self.settings)
        return self.backbone_class, {}


class LlamaLikeKind(RotaryKind):
    """Llama, and what differs from it in little.

    KerasHub's converters of these leave out epsilons or forms of rope, or round to
    half precision. Their layers have the same names, so that one here serves all.
    """

    @property
    def converter(self):
        """Itself: `convert_backbone_config` is here."""
        return self

    def fresh(self, config, vocabulary_size, dtype, **sizes):
        return self.backbone_class(
            vocabulary_size=vocabulary_size,
            num_layers=config.num_layers,
            num_query_heads=config.num_heads,
            num_key_value_heads=config.num_heads,
            hidden_dim=config.hidden_dim,
            intermediate_dim=config.intermediate_dim,
            dropout=config.dropout,
            dtype=dtype,
            **sizes,
        )

    def convert_backbone_config(self, config: dict) -> dict:
        """Arguments of `backbone_class`, where the config is silent transformers' own.

        Raises:
            InputError: it asks for rotary positions that are not known here.
        """
        heads = config["num_attention_heads"]
        return {
            "vocabulary_size": config["vocab_size"],
            "num_layers": config["num_hidden_layers"],
            "num_query_heads": heads,
            "num_key_value_heads": config.get("num_key_value_heads") or heads,
            "hidden_dim": config["hidden_size"],
            "intermediate_dim": config["intermediate_size"],
            "layer_norm_epsilon": config.get("rms_norm_eps", 1e-6),
            "rope_max_wavelength": rope_theta(config),
            **self.rope_arguments(rope_scaling(config)),
        }

    def rope_arguments(self, scaling: dict) -> dict:
        """Arguments for a scaling of rotary positions; none is known to all."""
        refuse_rope(scaling, ("default",))
        return {}

    def convert_weights(self, backbone, weights, config):
        embedding = backbone.token_embedding
        weights.port_weight(embedding.embeddings, "model.embed_tokens.weight")
        if not embedding.tie_weights:
            # A classifier's checkpoint has no head for language.
            has_head = "lm_head.weight" in weights
            name = "lm_head.weight" if has_head else "model.embed_tokens.weight"
            weights.port_weight(embedding.reverse_embeddings, name, transposed)
        for i, block in enumerate(backbone.transformer_layers):
            self._convert_block(block, weights, f"model.layers.{i}.")
        weights.port_weight(backbone.layer_norm.scale, "model.norm.weight")

    def _convert_block(self, block, weights, prefix: str):
        attention = block._self_attention_layer
        for name, layer in _NORMS.items():
            weights.port_weight(getattr(block, layer).scale, f"{prefix}{name}.weight")
        for name, layer in _ATTENTION.items():
            kernel = getattr(attention, layer)._kernel
            weights.port_weight(kernel, f"{prefix}self_attn.{name}.weight", transposed)
        for name, layer in _FEED_FORWARD.items():
            kernel = getattr(block, layer)._kernel
            weights.port_weight(kernel, f"{prefix}mlp.{name}.weight", transposed)
        for name, layer in _ATTENTION_NORMS.items():
            if hasattr(attention, layer):
                scale = getattr(attention, layer).scale
                weights.port_weight(scale, f"{prefix}self_attn.{name}.weight")


def rope_theta(config: dict) -> float:
    """The longest wavelength over 2 pi, of a config in the old form or the new."""
    parameters = config.get("rope_parameters") or {}
    return parameters.get("rope_theta", config.get("rope_theta", 10000.0))


def rope_scaling(config: dict) -> dict:
    """How rotary positions are stretched for longer texts, by `rope_type`."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    return {**scaling, "rope_type": kind}


def refuse_rope(scaling: dict, known: tuple[str, ...]):
    """Raises an `InputError` for a scaling of another type than the known ones."""
    if scaling["rope_type"] not in known:
        raise InputError(
            f"Its rotary positions must be of the type {' or '.join(known)}. Received: "
            f"{scaling['rope_type']!r}."
        )

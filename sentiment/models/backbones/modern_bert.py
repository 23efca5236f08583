"""ModernBERT's encoder."""

from typing import ClassVar

import keras
import numpy as np

from sentiment.errors import InputError
from sentiment.models.backbones.kind import (
    SequenceHead,
    UnplacedKind,
    check_settings,
)
from sentiment.models.backbones.modern_bert_backbone import ModernBertBackbone
from sentiment.models.backbones.packed_encoder import PackedEncoder
from sentiment.models.backbones.porting import port_kernel, shaped
from sentiment.models.backbones.rotary_kind import refuse_rope
from sentiment.models.backbones.transformer_kind import EncoderKind, block_sizes
from sentiment.models.fast_tokenizer import FastTokenizer

_THETA = {
    "full_attention": ("global_rope_theta", 160_000.0),
    "sliding_attention": ("local_rope_theta", 10_000.0),
}


@keras.saving.register_keras_serializable(package="sentiment")
class PackedModernBert(PackedEncoder):
    """The layers of a ModernBERT over packed rows; see `PackedTransformer`."""

    def leave(self, x):
        return self.backbone.layer_norm(x)

    def project(self, block, x, positions):
        return block.project(x, positions)

    def window(self, block):
        return block.window

    def weights_dropout(self, block, weights, drop):
        """None, as in all published ones."""
        return weights

    def feed_forward(self, block, x, attended, drop):
        return block.feed_forward(x, attended, drop)


class ModernBertConverter:
    """KerasHub has none."""

    @staticmethod
    def convert_backbone_config(config):
        arguments = {
            "vocabulary_size": config["vocab_size"],
            "num_layers": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "hidden_dim": config["hidden_size"],
            "intermediate_dim": config["intermediate_size"],
            "sliding_window": config.get("local_attention", 128) // 2,
            "layer_norm_epsilon": config.get("norm_eps", 1e-5),
        }
        period = config.get("global_attn_every_n_layers", 3)
        arguments["layer_types"] = config.get("layer_types") or [
            "sliding_attention" if i % period else "full_attention"
            for i in range(config["num_hidden_layers"])
        ]
        for name, layer_type in (
            ("global_wavelength", "full_attention"),
            ("local_wavelength", "sliding_attention"),
        ):
            old_name, default = _THETA[layer_type]
            new = (config.get("rope_parameters") or {}).get(layer_type) or {}
            refuse_rope({"rope_type": "default", **new}, ("default",))
            theta = new.get("rope_theta") or config.get(old_name) or default
            arguments[name] = theta
        return arguments

    @staticmethod
    def convert_weights(backbone, weights, config):
        tokens = backbone.token_embedding.embeddings
        weights.port_weight(tokens, "embeddings.tok_embeddings.weight")
        norms = {"embeddings.norm": backbone.embeddings_layer_norm}
        norms["final_norm"] = backbone.layer_norm
        for i, block in enumerate(backbone.transformer_layers):
            prefix = f"layers.{i}."
            joint = f"{prefix}attn.Wqkv.weight"
            for part, layer in enumerate((block.query, block.key, block.value)):
                weights.port_weight(layer.kernel, joint, _part_of(3, part))
            joint = f"{prefix}mlp.Wi.weight"
            for part, layer in enumerate((block.gate, block.intermediate)):
                weights.port_weight(layer.kernel, joint, _part_of(2, part))
            output, outer = block.attention_output, block.feedforward_output
            port_kernel(weights, output, f"{prefix}attn.Wo.weight")
            port_kernel(weights, outer, f"{prefix}mlp.Wo.weight")
            norms[f"{prefix}mlp_norm"] = block.feedforward_norm
            if block.has_attention_norm:
                norms[f"{prefix}attn_norm"] = block.attention_norm
        for name, norm in norms.items():
            weights.port_weight(norm.gamma, f"{name}.weight")


def _part_of(num_parts: int, part: int):
    """A hook that takes one of several layers whose rows stand below each other."""

    def hook(array, shape):
        if len(array) % num_parts:
            return array
        return shaped(np.split(array, num_parts)[part].T, shape)

    return hook


class ModernBert(UnplacedKind, EncoderKind):
    """`ModernBertBackbone`."""

    backbone_class = ModernBertBackbone
    tokenizer_class = FastTokenizer
    huggingface_types = ("modernbert",)
    huggingface_prefix = "model"
    converter = ModernBertConverter
    masked_head = ("head.dense", "head.norm", "decoder.bias")
    layer_norm_epsilon = 1e-5
    settings: ClassVar[dict] = {
        "hidden_activation": "gelu",
        "attention_bias": False,
        "mlp_bias": False,
        "norm_bias": False,
    }

    def fresh(self, config, vocabulary_size, dtype):
        return ModernBertBackbone(
            vocabulary_size=vocabulary_size,
            **block_sizes(config),
            dtype=dtype,
        )

    def packed_layers(self, backbone):
        return PackedModernBert(backbone, name="encoder")

    def lora_layers(self, block):
        return {
            "query": block.query,
            "key": block.key,
            "value": block.value,
            "output": block.attention_output,
            "gate": block.gate,
            "intermediate": block.intermediate,
            "feedforward": block.feedforward_output,
        }

    def kept_arguments(self, backbone, kept):
        types = [backbone.layer_types[i] for i in kept]
        return {**super().kept_arguments(backbone, kept), "layer_types": types}

    def matrix_axes(self, path):
        if path.endswith(("/query/kernel", "/key/kernel", "/value/kernel")):
            return (0,), (1, 2)
        return super().matrix_axes(path)

    def huggingface_arguments(self, config):
        """Refuses what no published ModernBERT has."""
        check_settings(config, self.settings)
        return self.backbone_class, {}

    def huggingface_head(self, config):
        """Refuses what no published ModernBERT has."""
        check_settings(config, {"classifier_activation": "gelu"})
        pooling = config.get("classifier_pooling") or "cls"
        if pooling not in ("cls", "mean"):
            raise InputError(
                "Its classifier_pooling must be 'cls' or 'mean'. Received: "
                f"{pooling!r}."
            )
        return SequenceHead(
            pooling=pooling,
            activation="gelu",
            dense="head.dense",
            output="classifier",
            norm="head.norm",
            norm_epsilon=config.get("norm_eps", 1e-5),
        )


KIND = ModernBert()

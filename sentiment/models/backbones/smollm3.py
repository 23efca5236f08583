"""SmolLM3's decoder."""

import contextlib
from typing import ClassVar

import keras
import keras_hub
from keras import ops
from keras_hub.src.models.smollm3.smollm3_utils import apply_rotary_pos_emb
from keras_hub.src.utils.transformers import convert_smollm3

from sentiment.models.backbones.kind import check_settings
from sentiment.models.backbones.packed_rotary_decoder import (
    PackedRotaryDecoder,
    share_heads,
)
from sentiment.models.backbones.rotary_kind import (
    RotaryKind,
    refuse_rope,
    rope_scaling,
)


@contextlib.contextmanager
def _default_policy(dtype):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(package="sentiment")
class HuggingFaceSmolLM3Backbone(keras_hub.models.SmolLM3Backbone):
    """`keras_hub.models.SmolLM3Backbone` whose layers have the `dtype` it is given.

    KerasHub's passes it on to none of them, and builds some too early, so that their
    variables have the same `path` in all blocks.
    """

    def __init__(self, *args, dtype=None, **kwargs):
        with _default_policy(dtype or keras.config.dtype_policy()):
            super().__init__(*args, **kwargs)
        for block in self.transformer_layers:
            parent = f"{block.name}/{block.self_attn.name}"
            for layer in (block.self_attn.o_proj, block.self_attn.rotary_embedding):
                # For variables that come later, as of adapters and quantisation. Its
                # own path stays: by that a saved dtype finds it when it is built.
                layer._parent_path = parent
                for variable in layer.variables:
                    variable._path = f"{parent}/{layer.name}/{variable.name}"


@keras.saving.register_keras_serializable(package="sentiment")
class PackedSmolLM3Decoder(PackedRotaryDecoder):
    """The layers of a SmolLM3 over packed rows; see `PackedTransformer`.

    There is no dropout in them.
    """

    def leave(self, x):
        return self.backbone.norm(x)

    def project(self, block, x, positions):
        attention = block.self_attn
        x = block.input_layernorm(x)
        query, key, value = (
            ops.reshape(layer(x), (*x.shape[:2], -1, attention.head_dim))
            for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if attention.use_rope:  # Every fourth layer knows no places.
            angles = ops.cast(positions[:, :, None], "float32")
            angles = angles * attention.rotary_embedding.inv_freq
            angles = ops.concatenate([angles, angles], axis=-1)
            query, key = apply_rotary_pos_emb(
                query,
                key,
                ops.cast(ops.cos(angles), query.dtype),
                ops.cast(ops.sin(angles), query.dtype),
                expansion_axis=2,
            )
        return share_heads(query * attention.scaling, key, value)

    def feed_forward(self, block, x, attended, drop):
        x = x + block.self_attn.o_proj(attended)
        return x + block.mlp(block.post_attention_layernorm(x))


class SmolLM3(RotaryKind):
    """`keras_hub.models.SmolLM3Backbone` (Bakouch et al. 2025)."""

    backbone_class = keras_hub.models.SmolLM3Backbone
    variants = (HuggingFaceSmolLM3Backbone,)
    tokenizer_class = keras_hub.models.SmolLM3Tokenizer
    huggingface_types = ("smollm3",)
    converter = convert_smollm3
    settings: ClassVar[dict] = {
        **RotaryKind.settings,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
    }

    def fresh(self, config, vocabulary_size, dtype):
        layers = range(config.num_layers)
        return HuggingFaceSmolLM3Backbone(
            vocabulary_size=vocabulary_size,
            hidden_dim=config.hidden_dim,
            intermediate_dim=config.intermediate_dim,
            num_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_heads,
            attention_bias=False,
            attention_dropout=0.0,
            rope_layer_enabled_list=[(i + 1) % 4 != 0 for i in layers],
            layer_types=["full_attention" for _ in layers],
            mlp_bias=False,
            layer_norm_epsilon=1e-6,
            max_position_embeddings=config.max_positions,
            rope_theta=5_000_000.0,
            partial_rotary_factor=1.0,
            dtype=dtype,
        )

    def known_arguments(self, arguments):
        return {k: v for k, v in arguments.items() if k != "dropout"}

    def adopt(self, backbone):
        if isinstance(backbone, HuggingFaceSmolLM3Backbone):
            return backbone
        own = HuggingFaceSmolLM3Backbone.from_config(
            {**backbone.get_config(), "dtype": backbone.dtype_policy}
        )
        own.set_weights(backbone.get_weights())
        return own

    def packed_layers(self, backbone):
        return PackedSmolLM3Decoder(backbone, name="decoder")

    def lora_layers(self, block):
        attention, feed_forward = block.self_attn, block.mlp
        return {
            "query": attention.q_proj,
            "key": attention.k_proj,
            "value": attention.v_proj,
            "output": attention.o_proj,
            "gate": feed_forward.gate_proj,
            "intermediate": feed_forward.up_proj,
            "feedforward": feed_forward.down_proj,
        }

    def kept_arguments(self, backbone, kept):
        lists = ("rope_layer_enabled_list", "layer_types")
        return {
            **super().kept_arguments(backbone, kept),
            **{name: [getattr(backbone, name)[i] for i in kept] for name in lists},
        }

    def matrix_axes(self, path):
        axes = super().matrix_axes(path)
        return ((0, 1), (2,)) if axes and path.endswith("o_proj/kernel") else axes

    def huggingface_arguments(self, config):
        super().huggingface_arguments(config)
        refuse_rope(rope_scaling(config), ("default",))
        width = config["hidden_size"] // config["num_attention_heads"]
        check_settings(config, {"head_dim": width})
        return HuggingFaceSmolLM3Backbone, {}


KIND = SmolLM3()

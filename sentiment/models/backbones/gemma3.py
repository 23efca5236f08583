"""Gemma 3's decoder, of texts alone."""

import math
from typing import ClassVar

import keras
import keras_hub
from keras import ops
from keras_hub.src.utils.transformers import convert_gemma3

from sentiment.errors import InputError
from sentiment.models.backbones.kind import check_settings
from sentiment.models.backbones.packed_rotary_decoder import (
    PackedRotaryDecoder,
    share_heads,
)
from sentiment.models.backbones.rotary_kind import (
    RotaryKind,
    refuse_rope,
)

# Of six blocks, five see a window; KerasHub's have these wavelengths, too.
_PERIOD = 6
_THETA = {"sliding_attention": 10_000.0, "full_attention": 1_000_000.0}


@keras.saving.register_keras_serializable(package="sentiment")
class PackedGemma3Decoder(PackedRotaryDecoder):
    """The layers of a Gemma 3 over packed rows; see `PackedTransformer`."""

    def call_stock_block(self, block, x, mask, shared, training):
        # The block takes no mask of attention; its attention does.
        places = ops.arange(mask.shape[1])
        mask = mask & (places[:, None] >= places[None, :])
        attended = block.attention(
            block.pre_attention_norm(x), attention_mask=mask, training=training
        )
        return self._after_attention(
            block, x, attended, lambda layer, x: layer(x, training=training)
        )

    def project(self, block, x, positions):
        attention = block.attention
        x = block.pre_attention_norm(x)
        query, key = attention.query_dense(x), attention.key_dense(x)
        if attention.use_query_key_norm:
            query, key = attention.query_norm(query), attention.key_norm(key)
        query = attention.rope_layer(query, positions=positions)
        key = attention.rope_layer(key, positions=positions)
        scale = 1 / math.sqrt(attention.head_dim)
        return share_heads(query * scale, key, attention.value_dense(x))

    def window(self, block):
        is_local = block.use_sliding_window_attention
        return block.sliding_window_size if is_local else None

    def weights_dropout(self, block, weights, drop):
        return drop(block.attention.dropout_layer, weights)

    def feed_forward(self, block, x, attended, drop):
        attended = block.attention.output_dense(attended)
        return self._after_attention(block, x, attended, drop)

    def _after_attention(self, block, x, attended, drop):
        if block.use_post_attention_norm:
            attended = block.post_attention_norm(attended)
        if block.dropout:
            attended = drop(block.attention_dropout, attended)
        x = x + attended
        inner = block.pre_ffw_norm(x)
        gate = keras.activations.gelu(block.gating_ffw(inner), approximate=True)
        inner = block.ffw_linear(gate * block.gating_ffw_2(inner))
        return x + (block.post_ffw_norm(inner) if block.use_post_ffw_norm else inner)


class Gemma3(RotaryKind):
    """`keras_hub.models.Gemma3Backbone` (Gemma Team 2025), without its eyes."""

    backbone_class = keras_hub.models.Gemma3Backbone
    tokenizer_class = keras_hub.models.Gemma3Tokenizer
    huggingface_types = ("gemma3_text",)
    converter = convert_gemma3
    block_name = "decoder_block_"
    frame = ("<bos>", "<eos>")
    settings: ClassVar[dict] = {
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
        # In configs of the old form; see `_THETA` for the new one.
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
    }

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.Gemma3Backbone(
            vocabulary_size=vocabulary_size,
            image_size=None,
            num_layers=config.num_layers,
            num_query_heads=config.num_heads,
            num_key_value_heads=config.num_heads,
            hidden_dim=config.hidden_dim,
            intermediate_dim=config.intermediate_dim,
            head_dim=config.hidden_dim // config.num_heads,
            use_query_key_norm=True,
            use_post_ffw_norm=True,
            use_post_attention_norm=True,
            use_sliding_window_attention=True,
            sliding_window_size=512,
            dropout=config.dropout,
            dtype=dtype,
        )

    def embed(self, backbone, token_ids, positions):
        embeddings = backbone.token_embedding(token_ids)
        return embeddings * ops.cast(math.sqrt(backbone.hidden_dim), embeddings.dtype)

    def packed_layers(self, backbone):
        # Presets are loaded whatever they hold.
        if backbone.vision_encoder is not None or backbone.use_bidirectional_attention:
            raise InputError(
                "A Gemma3Backbone must be one of texts alone, that reads forwards. "
                "Take a preset like gemma3_1b or gemma3_4b_text."
            )
        return PackedGemma3Decoder(backbone, name="decoder")

    def lora_layers(self, block):
        attention = block.attention
        return {
            "query": attention.query_dense,
            "key": attention.key_dense,
            "value": attention.value_dense,
            "output": attention.output_dense,
            "gate": block.gating_ffw,
            "intermediate": block.gating_ffw_2,
            "feedforward": block.ffw_linear,
        }

    def kept_arguments(self, backbone, kept):
        window = [b.use_sliding_window_attention for b in self.blocks(backbone)]
        expected = window[: len(kept)]
        if [window[layer] for layer in kept] != expected:
            raise InputError(
                "`keep_layers` would give layers of a Gemma3Backbone that see all the "
                "text the places of ones that see a window. Leave it out, or keep all."
            )
        return super().kept_arguments(backbone, kept)

    def matrix_axes(self, path):
        axes = super().matrix_axes(path)
        if axes is None or "/attention/" not in path or path.endswith("output/kernel"):
            return axes
        return (1,), (0, 2)  # (heads, hidden_dim, head_dim)

    def huggingface_arguments(self, config):
        super().huggingface_arguments(config)
        width = config["head_dim"]
        check_settings(config, {"query_pre_attn_scalar": width})
        layers = range(config["num_hidden_layers"])
        types = [
            "sliding_attention" if i % _PERIOD < _PERIOD - 1 else "full_attention"
            for i in layers
        ]
        check_settings(config, {"layer_types": types})
        by_type = config.get("rope_parameters") or {}
        for name, theta in _THETA.items():
            of_type = by_type.get(name) or {}
            kind = of_type.get("rope_type", "default")
            refuse_rope({"rope_type": kind}, ("default", "linear"))
            check_settings(of_type, {"rope_theta": theta})
        return self.backbone_class, {}


KIND = Gemma3()

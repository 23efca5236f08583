"""Qwen3's decoder."""

from typing import ClassVar

import keras
import keras_hub

from sentiment.models.backbones.rotary_kind import LlamaLikeKind


@keras.saving.register_keras_serializable(package="sentiment")
class HuggingFaceQwen3Backbone(keras_hub.models.Qwen3Backbone):
    """`keras_hub.models.Qwen3Backbone` with one epsilon in all of its norms.

    KerasHub's has 1e-5 in those of queries and keys, whatever it is given.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for block in self.transformer_layers:
            attention = block._self_attention_layer
            for norm in (
                attention._query_dense_layer_norm,
                attention._key_dense_layer_norm,
            ):
                norm.epsilon = self.layer_norm_epsilon


class Qwen3(LlamaLikeKind):
    """`keras_hub.models.Qwen3Backbone` (Yang et al. 2025)."""

    backbone_class = keras_hub.models.Qwen3Backbone
    variants = (HuggingFaceQwen3Backbone,)
    tokenizer_class = keras_hub.models.Qwen3Tokenizer
    huggingface_types = ("qwen3",)
    settings: ClassVar[dict] = {**LlamaLikeKind.settings, "use_sliding_window": False}

    def fresh(self, config, vocabulary_size, dtype):
        width = config.hidden_dim // config.num_heads
        return super().fresh(config, vocabulary_size, dtype, head_dim=width)

    def huggingface_arguments(self, config):
        super().huggingface_arguments(config)
        return HuggingFaceQwen3Backbone, {
            "head_dim": config.get("head_dim", 128),
            "tie_word_embeddings": config.get("tie_word_embeddings", False),
            "sliding_window_size": None,
        }


KIND = Qwen3()

"""Mistral's decoder."""

import keras_hub

from sentiment.models.backbones.rotary_kind import LlamaLikeKind


class Mistral(LlamaLikeKind):
    """`keras_hub.models.MistralBackbone` (Jiang et al. 2023)."""

    backbone_class = keras_hub.models.MistralBackbone
    tokenizer_class = keras_hub.models.MistralTokenizer
    huggingface_types = ("mistral",)

    def convert_backbone_config(self, config):
        return {
            **super().convert_backbone_config(config),
            "sliding_window": config.get("sliding_window", 4096),
            "head_dim": config.get("head_dim"),
        }


KIND = Mistral()

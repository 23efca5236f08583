"""Llama's decoder, and SmolLM2's."""

import keras
import keras_hub

from sentiment.models.backbones.kind import check_settings
from sentiment.models.backbones.rotary_kind import (
    LlamaLikeKind,
    refuse_rope,
)


@keras.saving.register_keras_serializable(package="sentiment")
class HuggingFaceLlamaBackbone(keras_hub.models.Llama3Backbone):
    """`keras_hub.models.Llama3Backbone` whose config says whether its head is tied.

    KerasHub's leaves that out, so that a tied one is saved and cannot be loaded.
    """

    def get_config(self):
        tied = {"tie_word_embeddings": self.tie_word_embeddings}
        return {**super().get_config(), **tied}


class Llama(LlamaLikeKind):
    """`keras_hub.models.LlamaBackbone` (Touvron et al. 2023, Grattafiori et al. 2024).

    SmolLM2 is one, too (Ben Allal et al. 2025).
    """

    backbone_class = keras_hub.models.LlamaBackbone
    variants = (keras_hub.models.Llama3Backbone, HuggingFaceLlamaBackbone)
    tokenizer_class = keras_hub.models.Llama3Tokenizer
    huggingface_types = ("llama",)

    def huggingface_arguments(self, config):
        super().huggingface_arguments(config)
        width = config["hidden_size"] // config["num_attention_heads"]
        check_settings(config, {"head_dim": width})
        tied = config.get("tie_word_embeddings", False)
        return HuggingFaceLlamaBackbone, {"tie_word_embeddings": tied}

    def rope_arguments(self, scaling):
        """Those of Llama 3.1 stretch low frequencies only."""
        refuse_rope(scaling, ("default", "llama3"))
        if scaling["rope_type"] == "default":
            return {}
        length = scaling["original_max_position_embeddings"]
        return {
            "rope_frequency_adjustment_factor": scaling["factor"],
            "rope_low_freq_factor": scaling["low_freq_factor"],
            "rope_high_freq_factor": scaling["high_freq_factor"],
            "rope_pretraining_sequence_length": length,
        }


KIND = Llama()

"""GPT-2's decoder."""

from typing import ClassVar

import keras_hub
from keras_hub.src.utils.transformers import convert_gpt2

from sentiment.errors import InputError
from sentiment.models.backbones.kind import SequenceHead, check_settings
from sentiment.models.backbones.packed_decoder import PackedDecoder
from sentiment.models.backbones.transformer_kind import TransformerKind, fresh_sizes

_TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")


class GPT2(TransformerKind):
    """`keras_hub.models.GPT2Backbone` (Radford et al. 2019)."""

    backbone_class = keras_hub.models.GPT2Backbone
    tokenizer_class = keras_hub.models.GPT2Tokenizer
    huggingface_types = ("gpt2",)
    huggingface_prefix = "transformer"
    converter = convert_gpt2
    sequence_head = SequenceHead("last")
    frame = ("", "")
    settings: ClassVar[dict] = {
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    }

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.GPT2Backbone(
            vocabulary_size=vocabulary_size, **fresh_sizes(config), dtype=dtype
        )

    def embed(self, backbone, token_ids, positions):
        tokens = backbone.token_embedding(token_ids)
        return backbone.embeddings_add(
            (tokens, backbone.position_embedding(tokens, positions=positions))
        )

    def packed_layers(self, backbone):
        return PackedDecoder(backbone, name="decoder")

    def huggingface_arguments(self, config):
        """Refuses what `backbone_class` does not compute."""
        check_settings(config, self.settings)
        activation = config.get("activation_function") or _TANH_GELUS[0]
        if activation not in _TANH_GELUS:
            raise InputError(
                f"Its activation_function must be one of {', '.join(_TANH_GELUS)}, "
                f"which is what is computed here. Received: {activation!r}."
            )
        # The converter takes the usual width.
        width = config.get("n_inner") or 4 * config["n_embd"]
        return self.backbone_class, {"intermediate_dim": width}

    def save_language_model(self, backbone, tokenizer, folder):
        """KerasHub loads the preset, and generates from it, without this package."""
        preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(
            keras_hub.models.GPT2Tokenizer(
                vocabulary=dict(tokenizer.vocabulary), merges=list(tokenizer.merges)
            ),
            sequence_length=backbone.max_sequence_length,
        )
        causal_lm = keras_hub.models.GPT2CausalLM(backbone, preprocessor)
        causal_lm.save_to_preset(folder)


KIND = GPT2()

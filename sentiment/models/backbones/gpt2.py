"""GPT-2's decoder."""

import keras_hub

from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.backbones.packed_decoder import PackedDecoder


class GPT2(BackboneKind):
    """`keras_hub.models.GPT2Backbone` (Radford et al. 2019)."""

    backbone_class = keras_hub.models.GPT2Backbone
    tokenizer_class = keras_hub.models.GPT2Tokenizer
    huggingface_types = ("gpt2",)
    is_adaptable = True

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.GPT2Backbone(
            vocabulary_size=vocabulary_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            hidden_dim=config.hidden_dim,
            intermediate_dim=config.intermediate_dim,
            dropout=config.dropout,
            max_sequence_length=config.max_positions,
            dtype=dtype,
        )

    def embed(self, backbone, token_ids, positions):
        tokens = backbone.token_embedding(token_ids)
        return backbone.embeddings_add(
            (tokens, backbone.position_embedding(tokens, positions=positions))
        )

    def packed_layers(self, backbone):
        return PackedDecoder(backbone, name="decoder")

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

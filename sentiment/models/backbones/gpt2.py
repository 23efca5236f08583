"""GPT-2's decoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_gpt2

from sentiment.models.backbones.kind import SequenceHead
from sentiment.models.backbones.packed_decoder import PackedDecoder
from sentiment.models.backbones.transformer_kind import TransformerKind, fresh_sizes


class GPT2(TransformerKind):
    """`keras_hub.models.GPT2Backbone` (Radford et al. 2019)."""

    backbone_class = keras_hub.models.GPT2Backbone
    tokenizer_class = keras_hub.models.GPT2Tokenizer
    huggingface_types = ("gpt2",)
    huggingface_prefix = "transformer"
    converter = convert_gpt2
    sequence_head = SequenceHead("last")
    frame = ("", "")

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

"""OPT's decoder."""

import keras_hub

from sentiment.errors import InputError
from sentiment.models.backbones.kind import SequenceHead, check_settings
from sentiment.models.backbones.packed_decoder import PackedDecoder
from sentiment.models.backbones.porting import port_dense, port_norm
from sentiment.models.backbones.transformer_kind import (
    TransformerKind,
    embed_jointly,
    fresh_sizes,
)

POSITIONS_BEGIN = 2  # in Hugging Face's table; KerasHub's has no such rows
_ATTENTION = {
    "q_proj": "query_dense",
    "k_proj": "key_dense",
    "v_proj": "value_dense",
    "out_proj": "output_dense",
}
_FEED_FORWARD = {
    "fc1": "_feedforward_intermediate_dense",
    "fc2": "_feedforward_output_dense",
}
_NORMS = {
    "self_attn_layer_norm": "_self_attention_layer_norm",
    "final_layer_norm": "_feedforward_layer_norm",
}


class OPTConverter:
    """KerasHub has none."""

    @staticmethod
    def convert_backbone_config(config):
        return {
            "vocabulary_size": config["vocab_size"],
            "num_layers": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "hidden_dim": config["hidden_size"],
            "intermediate_dim": config["ffn_dim"],
            "max_sequence_length": config["max_position_embeddings"],
        }

    @staticmethod
    def convert_weights(backbone, weights, config):
        tokens = backbone.token_embedding
        weights.port_weight(tokens.embeddings, "model.decoder.embed_tokens.weight")
        weights.port_weight(
            backbone.embeddings.position_embedding.position_embeddings,
            "model.decoder.embed_positions.weight",
            lambda table, _: table[POSITIONS_BEGIN:],
        )
        for i, block in enumerate(backbone.transformer_layers):
            prefix = f"model.decoder.layers.{i}."
            for name, layer in _ATTENTION.items():
                layer = getattr(block._self_attention_layer, layer)
                port_dense(weights, layer, f"{prefix}self_attn.{name}")
            for name, layer in _FEED_FORWARD.items():
                port_dense(weights, getattr(block, layer), prefix + name)
            for name, layer in _NORMS.items():
                port_norm(weights, getattr(block, layer), prefix + name)
        port_norm(weights, backbone.layer_norm, "model.decoder.final_layer_norm")


class OPT(TransformerKind):
    """`keras_hub.models.OPTBackbone` (Zhang et al. 2022)."""

    backbone_class = keras_hub.models.OPTBackbone
    tokenizer_class = keras_hub.models.OPTTokenizer
    huggingface_types = ("opt",)
    huggingface_prefix = "model"
    converter = OPTConverter
    sequence_head = SequenceHead("last")
    embedding_names = ("embeddings",)

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.OPTBackbone(
            vocabulary_size=vocabulary_size, **fresh_sizes(config), dtype=dtype
        )

    def embed(self, backbone, token_ids, positions):
        return embed_jointly(backbone.embeddings, token_ids, positions)

    def packed_layers(self, backbone):
        return PackedDecoder(backbone, name="decoder")

    def huggingface_arguments(self, config):
        """Refuses OPT-350m, which is built in another way than all others."""
        width = config.get("word_embed_proj_dim", config["hidden_size"])
        is_common = config.get("do_layer_norm_before", True)
        if width != config["hidden_size"] or not is_common:
            raise InputError(
                "An OPT with norms after its layers or embeddings of another width, "
                "as facebook/opt-350m is, cannot be read. Take another size."
            )
        check_settings(config, {"activation_function": "relu", "enable_bias": True})
        return self.backbone_class, {}


KIND = OPT()

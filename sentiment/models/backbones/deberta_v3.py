"""DeBERTa-v3's encoder."""

from typing import ClassVar

import jax.numpy as jnp
import keras
import keras_hub
import numpy as np

from sentiment.errors import InputError
from sentiment.models.backbones.kind import (
    SequenceHead,
    UnplacedKind,
    check_settings,
)
from sentiment.models.backbones.packed_encoder import PackedEncoder
from sentiment.models.backbones.porting import port_dense, port_norm
from sentiment.models.backbones.transformer_kind import EncoderKind, fresh_sizes
from sentiment.models.relative_scores import (
    falling_distances,
    key_scores,
    query_scores,
)
from sentiment.models.segment_attention import CHUNK_LENGTH, heads_first
from sentiment.models.tokenizer_definitions import DEBERTA_UNIGRAM

_ATTENTION = {
    "attention.self.query_proj": "_query_dense",
    "attention.self.key_proj": "_key_dense",
    "attention.self.value_proj": "_value_dense",
    "attention.output.dense": "_output_dense",
}
_FEED_FORWARD = {
    "intermediate.dense": "_feedforward_intermediate_dense",
    "output.dense": "_feedforward_output_dense",
}
_NORMS = {
    "attention.output.LayerNorm": "_self_attention_layer_norm",
    "output.LayerNorm": "_feedforward_layer_norm",
}


def distance_rows(distances: np.ndarray, num_buckets: int, span: int) -> np.ndarray:
    """Which row of the table of relative embeddings each distance has.

    Near ones have a row each, farther ones share them by the logarithm.

    Args:
        distances: int, query minus key.
        num_buckets: int, rows for distances to one side.
        span: int, the distance from which on all share the last row.

    Returns:
        int64, like `distances`, in [0, 2 * num_buckets).
    """
    middle = num_buckets // 2
    # In float32, as transformers and KerasHub do.
    far = np.maximum(np.abs(distances), middle).astype("float32") / np.float32(middle)
    log_of_span = np.log(np.float32((span - 1) / middle))
    logarithm = np.log(far) / log_of_span * np.float32(middle - 1)
    bucket = np.sign(distances) * (np.ceil(logarithm) + middle).astype("int64")
    bucket = np.where(np.abs(distances) <= middle, distances, bucket)
    return np.clip(bucket + num_buckets, 0, 2 * num_buckets - 1)


@keras.saving.register_keras_serializable(package="sentiment")
class PackedDebertaV3(PackedEncoder):
    """The layers of a DeBERTa-v3 over packed rows; see `PackedTransformer`.

    Scores have three parts (He et al. 2020, https://arxiv.org/abs/2006.03654): of two
    contents, of a query's content and a distance, and of a key's content and one.
    """

    can_skip_unread = False

    def shared(self, x, segment_ids, drop):
        """Embeddings of distances, float (1, 2 * bucket_size, hidden_dim)."""
        return self.backbone.relative_embeddings(x[:1])

    def call_stock_block(self, block, x, mask, shared, training):
        # Its layers take `training` from this layer's own call.
        distances = jnp.broadcast_to(shared, (x.shape[0], *shared.shape[1:]))
        return block(x, rel_embeddings=distances, attention_mask=mask)

    def normalizes_first(self, block):
        return False

    def project(self, block, x, positions):
        attention = block._self_attention_layer
        query = attention._query_dense(x) * attention.scale_factor
        return query, attention._key_dense(x), attention._value_dense(x)

    def relative_scores(self, block, query, key, shared, drop):
        attention = block._self_attention_layer
        embeddings = drop(attention._position_dropout_layer, shared)
        rows = distance_rows(
            falling_distances(query.shape[1]),
            attention.bucket_size,
            attention.max_position_embeddings,
        )
        # (1, 2 * bucket_size, heads, head_dim) each, then (heads, distances, head_dim)
        of_queries = attention._query_dense(embeddings) * attention.scale_factor
        of_queries, of_keys = (
            jnp.swapaxes(table[0][rows], 0, 1)
            for table in (of_queries, attention._key_dense(embeddings))
        )
        query, key = heads_first(query), heads_first(key)

        def scores(queries, keys):
            both = query_scores(query, of_keys, queries)
            both += key_scores(key, of_queries, queries, CHUNK_LENGTH)
            return both[..., keys]

        return scores

    def weights_dropout(self, block, weights, drop):
        return drop(block._self_attention_layer._attn_dropout_layer, weights)

    def attention_output(self, block, attended):
        flat = attended.reshape(*attended.shape[:2], -1)
        return block._self_attention_layer._output_dense(flat)


def _span(config: dict) -> int:
    """The distance from which on all share a row."""
    span = config.get("max_relative_positions") or -1
    return span if span > 0 else config.get("max_position_embeddings") or 512


class DebertaV3Converter:
    """KerasHub has none."""

    @staticmethod
    def convert_backbone_config(config):
        return {
            "vocabulary_size": config["vocab_size"],
            "num_layers": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "hidden_dim": config["hidden_size"],
            "intermediate_dim": config["intermediate_size"],
            "max_sequence_length": _span(config),
            "bucket_size": config["position_buckets"],
        }

    @staticmethod
    def convert_weights(backbone, weights, config):
        tokens, norm = "embeddings.word_embeddings.weight", "embeddings.LayerNorm"
        weights.port_weight(backbone.token_embedding.embeddings, tokens)
        port_norm(weights, backbone.embeddings_layer_norm, norm)
        distances = backbone.relative_embeddings
        table = "encoder.rel_embeddings.weight"
        weights.port_weight(distances.rel_embeddings, table)
        port_norm(weights, distances.layer_norm, "encoder.LayerNorm")
        for i, block in enumerate(backbone.transformer_layers):
            prefix = f"encoder.layer.{i}."
            for name, layer in _ATTENTION.items():
                layer = getattr(block._self_attention_layer, layer)
                port_dense(weights, layer, prefix + name)
            for name, layer in _FEED_FORWARD.items():
                port_dense(weights, getattr(block, layer), prefix + name)
            for name, layer in _NORMS.items():
                port_norm(weights, getattr(block, layer), prefix + name)


class DebertaV3(UnplacedKind, EncoderKind):
    """`keras_hub.models.DebertaV3Backbone` (He et al. 2021), and its like."""

    backbone_class = keras_hub.models.DebertaV3Backbone
    tokenizer_class = keras_hub.models.DebertaV3Tokenizer
    unigram = DEBERTA_UNIGRAM
    huggingface_types = ("deberta-v2",)
    huggingface_prefix = "deberta"
    converter = DebertaV3Converter
    sequence_head = SequenceHead("cls", "gelu", "pooler.dense", "classifier")
    block_name = "disentangled_attention_encoder_layer_"
    embedding_names = ("token_embedding", "embeddings_layer_norm", "rel_embedding")
    layer_norm_epsilon = 1e-7
    settings: ClassVar[dict] = {
        "type_vocab_size": 0,
        "conv_kernel_size": 0,
        "pooler_hidden_act": "gelu",
    }
    # What transformers does not take by default.
    own_settings: ClassVar[dict] = {
        "relative_attention": True,
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    }

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.DebertaV3Backbone(
            vocabulary_size=vocabulary_size,
            **fresh_sizes(config),
            bucket_size=config.max_positions // 2,
            dtype=dtype,
        )

    def packed_layers(self, backbone):
        return PackedDebertaV3(backbone, name="encoder")

    def lora_layers(self, block):
        attention = block._self_attention_layer
        return {
            "query": attention._query_dense,
            "key": attention._key_dense,
            "value": attention._value_dense,
            "output": attention._output_dense,
            "intermediate": block._feedforward_intermediate_dense,
            "feedforward": block._feedforward_output_dense,
        }

    def matrix_axes(self, path):
        if path.endswith("attention_output/kernel"):
            return (0,), (1,)
        return super().matrix_axes(path)

    def huggingface_arguments(self, config):
        """Refuses what the versions before the third had."""
        check_settings(
            config, {**self.settings, "embedding_size": config["hidden_size"]}
        )
        for name, value in self.own_settings.items():
            if config.get(name) is None:
                raise InputError(f"Its {name} must be {value!r}. There is none.")
        check_settings(config, self.own_settings)
        parts = config.get("pos_att_type")
        parts = parts.lower().split("|") if isinstance(parts, str) else parts
        if not isinstance(parts, list) or set(map(str.strip, map(str, parts))) != {
            "c2p",
            "p2c",
        }:
            raise InputError(
                f"Its pos_att_type must be 'p2c|c2p'. Received: {parts!r}."
            )
        buckets, span = config.get("position_buckets", -1), _span(config)
        if not isinstance(buckets, int) or not 4 <= buckets < 2 * (span - 1):
            raise InputError(
                "Its position_buckets must be from 4 to less than twice its "
                f"max_relative_positions. Received: {buckets!r} and {span}."
            )
        return super().huggingface_arguments(config)


KIND = DebertaV3()

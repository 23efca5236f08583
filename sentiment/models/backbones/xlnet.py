"""XLNet's encoder."""

import functools
from typing import ClassVar

import jax.numpy as jnp
import keras
import keras_hub

from sentiment.errors import InputError
from sentiment.models.backbones.kind import (
    SequenceHead,
    UnplacedKind,
    check_settings,
)
from sentiment.models.backbones.packed_transformer import PackedTransformer
from sentiment.models.backbones.porting import port_dense, port_norm
from sentiment.models.backbones.transformer_kind import TransformerKind, block_sizes
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.relative_scores import query_scores
from sentiment.models.segment_attention import heads_first
from sentiment.models.tokenizer_definitions import XLNET_UNIGRAM

_ATTENTION = {
    "q": "_query_dense",
    "k": "_key_dense",
    "v": "_value_dense",
    "o": "_output_dense",
    "r": "_encoding_dense",
}
_BIASES = {
    "r_w_bias": "content_attention_bias",
    "r_r_bias": "positional_attention_bias",
    "r_s_bias": "segment_attention_bias",
    "seg_embed": "segment_encoding",
}


def distance_encoding(distances, hidden_dim: int):
    """Sines and cosines of distances, float32 (distances, hidden_dim)."""
    frequencies = 1 / 10_000 ** (jnp.arange(0, hidden_dim, 2) / hidden_dim)
    angles = distances[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


def is_last(segment_ids):
    """Whether a token is the last of its segment, bool like `segment_ids`."""
    after = jnp.pad(segment_ids[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
    return segment_ids != after


@keras.saving.register_keras_serializable(package="sentiment")
class PackedXLNet(PackedTransformer):
    """The layers of an XLNet over packed rows; see `PackedTransformer`.

    Scores have three parts (Yang et al. 2019, https://arxiv.org/abs/1906.08237): of two
    contents, of a query's content and a distance, and of a query's content and whether
    both tokens are of one type. The last token, `<cls>`, has a type of its own, as in
    training; transformers 5 leaves types out unless it is given `token_type_ids`.

    Dropout after the last block, which nothing else here has, is left to the head's.
    """

    is_causal = False
    can_skip_unread = False

    def enter(self, embeddings, drop):
        return drop(self.backbone.content_query_embedding.dropout_layer, embeddings)

    def leave(self, x):
        return x

    def shared(self, x, segment_ids, drop):
        """Encoded distances from length to 1 - length, and which tokens are `<cls>`.

        As KerasHub gives them to all blocks: float (1, 2 * length, hidden_dim), bool
        (batch, length). The first of these distances is of no use.
        """
        embedding, length = self.backbone.content_query_embedding, x.shape[1]
        distances = jnp.arange(length, -length, -1, dtype="float32")
        encoding = distance_encoding(distances, x.shape[-1]).astype(x.dtype)
        return drop(embedding.dropout_layer, encoding[None]), is_last(segment_ids)

    def call_stock_block(self, block, x, mask, shared, training):
        # Its layers take `training` from this layer's own call.
        encoding, has_type = shared
        x, _ = block(
            output_content=x,
            attn_mask_content=mask,
            attn_mask_query=None,
            pos_emb=jnp.broadcast_to(encoding, (x.shape[0], *encoding.shape[1:])),
            seg_mat=has_type[:, :, None] != has_type[:, None, :],
        )
        return x

    def project(self, block, x, positions):
        attention = block.relative_attention
        query = attention._query_dense(x) * _scale(block)
        return query, attention._key_dense(x), attention._value_dense(x)

    def relative_scores(self, block, query, key, shared, drop):
        attention, (encoding, has_type) = block.relative_attention, shared
        table = jnp.swapaxes(attention._encoding_dense(encoding[:, 1:])[0], 0, 1)
        content, positional, of_types, types = (
            jnp.asarray(variable, query.dtype)
            for variable in (
                block.content_attention_bias,
                block.positional_attention_bias,
                block.segment_attention_bias,
                block.segment_encoding,
            )
        )
        scale = _scale(block)
        einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
        of_keys = einsum("bknh,nh->bnk", key, content * scale)[:, :, None]
        of_types = einsum("bqnh,snh->bnqs", query + of_types * scale, types)
        query = heads_first(query + positional * scale)
        has_type = has_type[:, None]

        def scores(queries, keys):
            differs = has_type[..., queries, None] != has_type[..., None, keys]
            same, other = jnp.split(of_types[:, :, queries], 2, axis=-1)
            by_type = jnp.where(differs, other, same)
            by_distance = query_scores(query, table, queries)[..., keys]
            return by_distance + by_type + of_keys[..., keys]

        return scores

    def weights_dropout(self, block, weights, drop):
        return drop(block.relative_attention._dropout_layer, weights)

    def feed_forward(self, block, x, attended, drop):
        attended = block.relative_attention._output_dense(attended)
        x = block.layer_norm(x + drop(block.dropout_attn, attended))
        inner = block.feedforward_intermediate_dense(x)
        inner = drop(block.dropout_ff, block.activation_function_ff(inner))
        inner = drop(block.dropout_ff, block.feedforward_output_dense(inner))
        return block.layer_norm_ff(x + inner)


def _scale(block) -> float:
    return block.head_dim**-0.5


class XLNetConverter:
    """KerasHub has none."""

    @staticmethod
    def convert_backbone_config(config):
        return {
            "vocabulary_size": config["vocab_size"],
            "num_layers": config["n_layer"],
            "num_heads": config["n_head"],
            "hidden_dim": config["d_model"],
            "intermediate_dim": config["d_inner"],
        }

    @staticmethod
    def convert_weights(backbone, weights, config):
        tokens = backbone.token_embedding.embeddings
        weights.port_weight(tokens, "word_embedding.weight")
        hidden = backbone.attn_mask_layer.mask_emb
        weights.port_weight(hidden, "mask_emb")
        for i, block in enumerate(backbone.transformer_layers):
            prefix = f"layer.{i}."
            attention = f"{prefix}rel_attn."
            for name, layer in _ATTENTION.items():
                kernel = getattr(block.relative_attention, layer).kernel
                weights.port_weight(kernel, attention + name)
            for name, variable in _BIASES.items():
                weights.port_weight(getattr(block, variable), attention + name)
            port_norm(weights, block.layer_norm, f"{attention}layer_norm")
            inner, outer = (
                block.feedforward_intermediate_dense,
                block.feedforward_output_dense,
            )
            port_dense(weights, inner, f"{prefix}ff.layer_1")
            port_dense(weights, outer, f"{prefix}ff.layer_2")
            port_norm(weights, block.layer_norm_ff, f"{prefix}ff.layer_norm")


class XLNet(UnplacedKind, TransformerKind):
    """`keras_hub.models.XLNetBackbone` (Yang et al. 2019).

    It sees in both directions, and the token that stands for the text comes last. It
    learned from texts in a shuffled order, which is no objective here.
    """

    backbone_class = keras_hub.models.XLNetBackbone
    tokenizer_class = FastTokenizer  # KerasHub has none.
    unigram = XLNET_UNIGRAM
    huggingface_types = ("xlnet",)
    huggingface_prefix = "transformer"
    converter = XLNetConverter
    sequence_head = SequenceHead(
        "last", "tanh", "sequence_summary.summary", "logits_proj"
    )
    is_causal = False
    objective = ""
    block_name = "xlnet_encoder_"
    embedding_names = ("content_query_embedding", "encoder_block_attn_mask_layer")
    settings: ClassVar[dict] = {
        "layer_norm_eps": 1e-12,
        "ff_activation": "gelu",
        "attn_type": "bi",
        "bi_data": False,
        "clamp_len": -1,
        "untie_r": True,
        "same_length": False,
        "summary_type": "last",
        "summary_use_proj": True,
        "summary_activation": "tanh",
    }

    def fresh(self, config, vocabulary_size, dtype):
        return keras_hub.models.XLNetBackbone(
            vocabulary_size=vocabulary_size,
            **block_sizes(config),
            dtype=dtype,
        )

    def packed_layers(self, backbone):
        return PackedXLNet(backbone, name="encoder")

    def check_pooling(self, pooling):
        if pooling == "cls":
            raise InputError(
                "The `cls` pooling reads the first token. An XLNet has its `<cls>` at "
                "the end of a text; take `last`."
            )

    def lora_layers(self, block):
        attention = block.relative_attention
        return {
            "query": attention._query_dense,
            "key": attention._key_dense,
            "value": attention._value_dense,
            "output": attention._output_dense,
            "intermediate": block.feedforward_intermediate_dense,
            "feedforward": block.feedforward_output_dense,
        }

    def matrix_axes(self, path):
        axes = super().matrix_axes(path)
        if axes is None or "/rel_attn/" not in path:
            return axes
        is_output = path.endswith("attention_output/kernel")
        return ((1, 2), (0,)) if is_output else ((0,), (1, 2))

    def huggingface_arguments(self, config):
        """Refuses what no published XLNet has."""
        head_dim = config["d_model"] // config["n_head"]
        check_settings(config, {**self.settings, "d_head": head_dim})
        return self.backbone_class, {}


KIND = XLNet()

import json

import numpy as np
import pytest
from scipy.special import erf

from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones.deberta_v3 import distance_rows
from sentiment.models.presets import load_parts, load_pretrained
from tests.models.huggingface_folders import (
    POSITIONS,
    VOCABULARY,
    check_hidden_states,
    check_reads_like,
    check_same_without_prefix,
    definition,
    packed_hidden_states,
    without_prefix,
    write_classifier,
    write_folder,
)

WIDTH, INNER, LAYERS, HEADS, BUCKETS = 16, 24, 2, 2, 8
SETTINGS = {
    "model_type": "deberta-v2",
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "max_relative_positions": -1,
    "position_buckets": BUCKETS,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_biased_input": False,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-7,
}


PARTS = ("query", "key", "value")


@pytest.fixture(scope="module")
def tensors():
    rng, found = np.random.default_rng(0), {}

    def normal(key, *shape, mean=0.0):
        found[f"deberta.{key}"] = rng.normal(mean, 0.3, shape).astype(np.float32)

    normal("embeddings.word_embeddings.weight", VOCABULARY, WIDTH)
    normal("encoder.rel_embeddings.weight", 2 * BUCKETS, WIDTH)
    norms = ["embeddings.LayerNorm", "encoder.LayerNorm"]
    for i in range(LAYERS):
        block = f"encoder.layer.{i}."
        sizes = dict.fromkeys(("query_proj", "key_proj", "value_proj"), (WIDTH,) * 2)
        sizes = {f"attention.self.{name}": size for name, size in sizes.items()}
        sizes |= {
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }
        for name, size in sizes.items():
            normal(f"{block}{name}.weight", *size)
            normal(f"{block}{name}.bias", size[0])
        norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
    for name in norms:
        normal(f"{name}.weight", WIDTH, mean=1.0)
        normal(f"{name}.bias", WIDTH)
    return found


def hidden_states(tensors, ids):
    """Equation 4 of the paper, entry by entry."""
    t = {k.removeprefix("deberta."): x for k, x in tensors.items()}
    n, head = len(ids), WIDTH // HEADS

    def linear(x, key):
        return x @ t[f"{key}.weight"].T + t[f"{key}.bias"]

    def norm(x, key):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(x.var(-1, keepdims=True) + 1e-7)
        return x * t[f"{key}.weight"] + t[f"{key}.bias"]

    def heads(x):
        return x.reshape(len(x), HEADS, head).transpose(1, 0, 2)

    distances = norm(t["encoder.rel_embeddings.weight"], "encoder.LayerNorm")
    x = norm(t["embeddings.word_embeddings.weight"][ids], "embeddings.LayerNorm")
    for i in range(LAYERS):
        own = f"encoder.layer.{i}."
        queries, keys, values = (f"{own}attention.self.{p}_proj" for p in PARTS)
        query, key, value = (heads(linear(x, name)) for name in (queries, keys, values))
        far_query, far_key = (
            heads(linear(distances, name)) for name in (queries, keys)
        )
        scores = np.zeros((HEADS, n, n))
        for a in range(n):
            for b in range(n):
                row = distance_rows(np.array(a - b), BUCKETS, POSITIONS)
                scores[:, a, b] = (
                    (query[:, a] * key[:, b]).sum(-1)
                    + (query[:, a] * far_key[:, row]).sum(-1)
                    + (key[:, b] * far_query[:, row]).sum(-1)
                )
        weights = np.exp(scores / np.sqrt(3 * head))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ value).transpose(1, 0, 2).reshape(n, WIDTH)
        attended = linear(attended, f"{own}attention.output.dense")
        x = norm(x + attended, f"{own}attention.output.LayerNorm")
        inner = linear(x, f"{own}intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(x + linear(inner, f"{own}output.dense"), f"{own}output.LayerNorm")
    return x


def test_near_distances_have_a_row_each_and_far_ones_share():
    # 8 rows to each side: up to 4 apart one each; then by the logarithm, up to 19.
    near = distance_rows(np.arange(-4, 5), BUCKETS, 20)
    assert near.tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    # ceil(3 log(d / 4) / log(19 / 4)) + 4: 6.7 is where the second of three begins.
    far = distance_rows(np.array([5, 6, 7, 11, 12, 19, 500]), BUCKETS, 20)
    assert far.tolist() == [13, 13, 14, 14, 15, 15, 15]
    assert distance_rows(np.array([-5, -7, -19, -20]), BUCKETS, 20).tolist() == [
        3,
        2,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("has_prefix", "config"),
    [(True, {}), (False, {}), (True, {"max_relative_positions": None})],
)
def test_hidden_states_are_those_of_the_definition(
    tmp_path, tensors, has_prefix, config
):
    stored = tensors
    if not has_prefix:
        stored = without_prefix(tensors, "deberta.")
    backbone, _ = load_parts(
        write_folder(tmp_path, {**SETTINGS, **config}, stored), dropout=0.0
    )
    check_hidden_states(backbone, lambda text: hidden_states(tensors, text))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"position_biased_input": True}, "position_biased_input must be False"),
        ({"relative_attention": False}, "relative_attention must be True"),
        ({"share_att_key": False}, "share_att_key must be True"),
        ({"conv_kernel_size": 3}, "conv_kernel_size must be 0"),
        ({"pos_att_type": "c2p"}, "pos_att_type must be"),
        ({"norm_rel_ebd": "none"}, "norm_rel_ebd must be 'layer_norm'"),
        ({"pos_att_type": 5}, "pos_att_type must be"),
        ({"position_buckets": -1}, "position_buckets must be"),
        ({"max_relative_positions": 5}, "less than twice its max.*8 and 5"),
        ({"position_buckets": 6}, r"rel_embeddings.weight' have the shape \(16, 16\)"),
        ({"intermediate_size": 30}, r"shape \(24, 16\).*for \(16, 30\)"),
        ({"embedding_size": 8}, "embedding_size must be 16"),
        ({"hidden_act": "relu"}, "computes with gelu"),
    ],
)
def test_what_is_built_otherwise_is_refused(tmp_path, tensors, config, message):
    preset = write_folder(tmp_path, {**SETTINGS, **config}, tensors)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=preset))


@pytest.mark.parametrize("name", ["position_biased_input", "share_att_key"])
def test_what_transformers_takes_by_default_counts(tmp_path, tensors, name):
    config = {key: x for key, x in SETTINGS.items() if key != name}
    preset = write_folder(tmp_path, SETTINGS, tensors)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=name):
        load_pretrained(ModelConfig(preset=preset))


def test_a_text_may_be_longer_than_the_table_of_distances(tmp_path, tensors):
    preset = write_folder(tmp_path, SETTINGS, tensors)
    backbone, _ = load_parts(preset, dropout=0.0)
    text = np.random.default_rng(2).integers(5, VOCABULARY, 3 * POSITIONS)
    found = next(packed_hidden_states(backbone, [text]))
    np.testing.assert_allclose(found, hidden_states(tensors, text), rtol=0, atol=1e-4)


def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path):
    model = write_classifier(tmp_path, definition(), **SETTINGS)
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model)
    check_same_without_prefix(tmp_path, classifier, model, definition())

import json

import numpy as np
import pytest
from scipy.special import erf

import sentiment
from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.presets import load_parts, load_pretrained
from tests.models.huggingface_folders import (
    VOCABULARY,
    check_hidden_states,
    check_reads_like,
    check_same_without_prefix,
    definition,
    without_prefix,
    write_classifier,
    write_folder,
)

WIDTH, INNER, LAYERS, HEADS = 16, 24, 2, 2
SETTINGS = {
    "model_type": "xlnet",
    "vocab_size": VOCABULARY,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "d_model": WIDTH,
    "d_inner": INNER,
    "ff_activation": "gelu",
    "attn_type": "bi",
    "untie_r": True,
}


@pytest.fixture(scope="module")
def tensors():
    rng, found = np.random.default_rng(0), {}
    head = WIDTH // HEADS

    def normal(key, *shape, mean=0.0):
        found[f"transformer.{key}"] = rng.normal(mean, 0.3, shape).astype(np.float32)

    normal("word_embedding.weight", VOCABULARY, WIDTH)
    normal("mask_emb", 1, 1, WIDTH)
    for i in range(LAYERS):
        own = f"layer.{i}."
        for name in "qkvor":
            normal(f"{own}rel_attn.{name}", WIDTH, HEADS, head)
        for name in ("r_w_bias", "r_r_bias", "r_s_bias"):
            normal(f"{own}rel_attn.{name}", HEADS, head)
        normal(f"{own}rel_attn.seg_embed", 2, HEADS, head)
        for name, size in (("layer_1", (INNER, WIDTH)), ("layer_2", (WIDTH, INNER))):
            normal(f"{own}ff.{name}.weight", *size)
            normal(f"{own}ff.{name}.bias", size[0])
        for name in (f"{own}rel_attn.layer_norm", f"{own}ff.layer_norm"):
            normal(f"{name}.weight", WIDTH, mean=1.0)
            normal(f"{name}.bias", WIDTH)
    return found


def types_of(text):
    """As its tokenizer gives them: `<cls>` is the last token."""
    types = np.zeros(len(text), np.int64)
    types[-1] = 2
    return types


def hidden_states(tensors, ids):
    """Relative attention of Transformer-XL and XLNet, entry by entry."""
    t = {k.removeprefix("transformer."): x for k, x in tensors.items()}
    n, types = len(ids), types_of(ids)

    def norm(x, key):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * t[f"{key}.weight"] + t[f"{key}.bias"]

    def encoding(distance):
        angles = distance / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
        return np.concatenate([np.sin(angles), np.cos(angles)])

    x = t["word_embedding.weight"][ids]
    for i in range(LAYERS):
        own = f"layer.{i}.rel_attn."
        q, k, v, o, r = (t[own + name] for name in "qkvor")
        query, key, value = (np.einsum("td,dnh->tnh", x, w) for w in (q, k, v))
        scores = np.zeros((HEADS, n, n))
        for a in range(n):
            for b in range(n):
                distance = np.einsum("d,dnh->nh", encoding(a - b), r)
                kind = t[f"{own}seg_embed"][int(types[a] != types[b])]
                scores[:, a, b] = (
                    (query[a] + t[f"{own}r_w_bias"]) * key[b]
                    + (query[a] + t[f"{own}r_r_bias"]) * distance
                    + (query[a] + t[f"{own}r_s_bias"]) * kind
                ).sum(-1)
        weights = np.exp(scores / np.sqrt(WIDTH / HEADS))
        weights /= weights.sum(-1, keepdims=True)
        attended = np.einsum("nab,bnh,dnh->ad", weights, value, o)
        x = norm(x + attended, f"{own}layer_norm")
        ff = f"layer.{i}.ff."
        inner = x @ t[f"{ff}layer_1.weight"].T + t[f"{ff}layer_1.bias"]
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        outer = inner @ t[f"{ff}layer_2.weight"].T + t[f"{ff}layer_2.bias"]
        x = norm(x + outer, f"{ff}layer_norm")
    return x


@pytest.mark.parametrize("has_prefix", [True, False])
def test_hidden_states_are_those_of_the_definition(tmp_path, tensors, has_prefix):
    stored = tensors
    if not has_prefix:
        stored = without_prefix(tensors, "transformer.")
    backbone, _ = load_parts(write_folder(tmp_path, SETTINGS, stored), dropout=0.0)
    check_hidden_states(backbone, lambda text: hidden_states(tensors, text), types_of)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"attn_type": "uni"}, "attn_type must be 'bi'"),
        ({"clamp_len": 100}, "clamp_len must be -1"),
        ({"untie_r": False}, "untie_r must be True"),
        ({"summary_type": "mean"}, "summary_type must be 'last'"),
        ({"ff_activation": "gelu_new"}, "ff_activation must be 'gelu'"),
        ({"d_head": 4}, "d_head must be 8"),
        ({"d_inner": 30}, r"layer_1.weight' have the shape \(24, 16\).* \(16, 30\)"),
    ],
)
def test_what_is_built_otherwise_is_refused(tmp_path, tensors, config, message):
    preset = write_folder(tmp_path, {**SETTINGS, **config}, tensors)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=preset))


def test_a_size_that_is_left_out_is_named(tmp_path, tensors):
    preset = write_folder(tmp_path, SETTINGS, tensors)
    config = {name: x for name, x in SETTINGS.items() if name != "d_model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config.json has no 'd_model'"):
        load_pretrained(ModelConfig(preset=preset))


def test_its_class_token_is_not_the_first_one(tmp_path, tensors):
    backbone, _ = load_parts(write_folder(tmp_path, SETTINGS, tensors))
    with pytest.raises(InputError, match="at the end of a text; take `last`"):
        sentiment.PackedTextClassifier(backbone, 2, pooling="cls")
    assert sentiment.PackedTextClassifier(backbone, 2).pooling == "last"


def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path):
    model = write_classifier(tmp_path, definition(), **SETTINGS)
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model, types_of)
    check_same_without_prefix(tmp_path, classifier, model, definition())

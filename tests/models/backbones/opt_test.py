import numpy as np
import pytest

from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.presets import load_parts, load_pretrained
from tests.models.huggingface_folders import (
    POSITIONS,
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
    "model_type": "opt",
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_size": WIDTH,
    "word_embed_proj_dim": WIDTH,
    "ffn_dim": INNER,
    "max_position_embeddings": POSITIONS,
    "activation_function": "relu",
    "do_layer_norm_before": True,
    "eos_token_id": 2,
}


@pytest.fixture(scope="module")
def tensors():
    rng, found = np.random.default_rng(0), {}
    prefix = "model.decoder."

    def normal(key, *shape, mean=0.0):
        found[prefix + key] = rng.normal(mean, 0.3, shape).astype(np.float32)

    normal("embed_tokens.weight", VOCABULARY, WIDTH)
    normal("embed_positions.weight", POSITIONS + 2, WIDTH)
    norms = ["final_layer_norm"]
    for i in range(LAYERS):
        block = f"layers.{i}."
        sizes = dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), (WIDTH,) * 2)
        sizes = {f"self_attn.{name}": size for name, size in sizes.items()}
        sizes |= {"fc1": (INNER, WIDTH), "fc2": (WIDTH, INNER)}
        for name, size in sizes.items():
            normal(f"{block}{name}.weight", *size)
            normal(f"{block}{name}.bias", size[0])
        norms += [f"{block}self_attn_layer_norm", f"{block}final_layer_norm"]
    for name in norms:
        normal(f"{name}.weight", WIDTH, mean=1.0)
        normal(f"{name}.bias", WIDTH)
    return found


def hidden_states(tensors, ids):
    t = {k.removeprefix("model.decoder."): x for k, x in tensors.items()}
    n = len(ids)

    def linear(x, key):
        return x @ t[f"{key}.weight"].T + t[f"{key}.bias"]

    def norm(x, key):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * t[f"{key}.weight"] + t[f"{key}.bias"]

    def heads(x):
        return x.reshape(n, HEADS, -1).transpose(1, 0, 2)

    x = t["embed_tokens.weight"][ids] + t["embed_positions.weight"][2 : n + 2]
    for i in range(LAYERS):
        own = f"layers.{i}.self_attn"
        read = norm(x, f"{own}_layer_norm")
        query, key, value = (heads(linear(read, f"{own}.{p}_proj")) for p in "qkv")
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ value).transpose(1, 0, 2).reshape(n, WIDTH)
        x = x + linear(attended, f"{own}.out_proj")
        read = norm(x, f"layers.{i}.final_layer_norm")
        inner = np.maximum(linear(read, f"layers.{i}.fc1"), 0)
        x = x + linear(inner, f"layers.{i}.fc2")
    return norm(x, "final_layer_norm")


@pytest.mark.parametrize("has_prefix", [True, False])
def test_hidden_states_are_those_of_the_definition(tmp_path, tensors, has_prefix):
    stored = tensors
    if not has_prefix:
        stored = without_prefix(tensors, "model.")
    backbone, _ = load_parts(write_folder(tmp_path, SETTINGS, stored), dropout=0.0)
    check_hidden_states(backbone, lambda text: hidden_states(tensors, text))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"word_embed_proj_dim": 8}, "as facebook/opt-350m is, cannot be read"),
        ({"do_layer_norm_before": False}, "as facebook/opt-350m is, cannot be read"),
        ({"activation_function": "gelu"}, "activation_function must be 'relu'"),
    ],
)
def test_what_is_built_otherwise_is_refused(tmp_path, tensors, config, message):
    preset = write_folder(tmp_path, {**SETTINGS, **config}, tensors)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=preset))


def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path):
    about = {**SETTINGS, "pad_token_id": 1}
    model = write_classifier(tmp_path, definition(), **about)
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model)
    check_same_without_prefix(tmp_path, classifier, model, definition())

"""Decoders with rotary positions, against two other implementations.

One is NumPy's, here. The other is transformers, where it is installed: what it writes
itself must be read as it reads it.
"""

import dataclasses
import json
import math

import keras
import keras_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

import sentiment
from sentiment.config import BackboneConfig, ModelConfig
from sentiment.data.packing import RaggedTokens
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.smollm3 import HuggingFaceSmolLM3Backbone
from sentiment.models.backbones.variants import with_fewer_layers
from sentiment.models.lora import check_adaptable, enable_lora
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.presets import load_backbone, load_parts, load_pretrained
from tests.models.huggingface_folders import (
    VOCABULARY,
    check_reads_like,
    check_same_without_prefix,
    definition,
    packed_hidden_states,
    random_texts,
    stock_hidden_states,
    write_classifier,
)

LABELS = {"0": "bad", "1": "so so", "2": "good"}
CLASSIFIER = {"architectures": ["AnyForSequenceClassification"], "id2label": LABELS}
END = 3  # [SEP]
SIZES = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "eos_token_id": END,
}
SCALED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


@dataclasses.dataclass(frozen=True)
class Family:
    """How a kind of decoder differs from a Llama.

    Attributes:
        settings: of `config.json`, beside the common ones.
        head_dim: of queries and keys.
        window: of block i, tokens; `None` sees all.
        theta: of block i; `None` turns nothing.
        has_attention_norms: whether queries and keys are normed.
        has_output_norms: whether what a block adds is normed.
        scale_is_excess: whether a norm's weights are what is more than 1.
    """

    settings: dict
    head_dim: int = 4
    window: tuple = (None, None, None)
    theta: tuple = (10_000.0,) * 3
    is_scaled: bool = False
    has_attention_norms: bool = False
    has_output_norms: bool = False
    scale_is_excess: bool = False


FAMILIES = {
    "llama": Family({"model_type": "llama", "rms_norm_eps": 1e-3}),
    "llama3.1": Family(
        {
            "model_type": "llama",
            "rope_theta": 500.0,
            "rope_scaling": SCALED,
            "tie_word_embeddings": False,
        },
        theta=(500.0,) * 3,
        is_scaled=True,
    ),
    "llama3.1, new form": Family(
        {"model_type": "llama", "rope_parameters": {**SCALED, "rope_theta": 500.0}},
        theta=(500.0,) * 3,
        is_scaled=True,
    ),
    "mistral": Family(
        {"model_type": "mistral", "sliding_window": 5, "head_dim": 8},
        head_dim=8,
        window=(5, 5, 5),
    ),
    "qwen3": Family(
        {"model_type": "qwen3", "head_dim": 8}, head_dim=8, has_attention_norms=True
    ),
    "smollm3": Family(
        {
            "model_type": "smollm3",
            "no_rope_layers": [1, 0, 1],
            "layer_types": ["full_attention"] * 3,
            "rope_theta": 2_000_000.0,
            "max_position_embeddings": 64,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
        },
        theta=(2_000_000.0, None, 2_000_000.0),
    ),
    "gemma3": Family(
        {
            "model_type": "gemma3_text",
            "num_hidden_layers": 6,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 5,
        },
        head_dim=8,
        window=(5, 5, 5, 5, 5, None),
        theta=(10_000.0,) * 5 + (1_000_000.0,),
        has_attention_norms=True,
        has_output_norms=True,
        scale_is_excess=True,
    ),
}

each_family = pytest.mark.parametrize("name", FAMILIES)


# --- An implementation in NumPy


def settings(name, **changes):
    return {**SIZES, **FAMILIES[name].settings, **changes}


def random_tensors(name, with_head=False):
    """The arrays of a checkpoint, a Linear's weights being (outputs, inputs)."""
    family, config, rng = FAMILIES[name], settings(name), np.random.default_rng(0)
    tensors = {}

    def normal(key, *shape, mean=0.0):
        tensors[f"{key}.weight"] = rng.normal(mean, 0.3, shape).astype(np.float32)

    def norm(key, width=config["hidden_size"]):
        normal(key, width, mean=0.0 if family.scale_is_excess else 1.0)

    width, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * family.head_dim
    keys = config["num_key_value_heads"] * family.head_dim
    normal("model.embed_tokens", VOCABULARY, width)
    for i in range(config["num_hidden_layers"]):
        block = f"model.layers.{i}."
        norms = ["input_layernorm", "post_attention_layernorm"]
        if family.has_output_norms:
            norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        for one in norms:
            norm(block + one)
        normal(f"{block}self_attn.q_proj", queries, width)
        normal(f"{block}self_attn.k_proj", keys, width)
        normal(f"{block}self_attn.v_proj", keys, width)
        normal(f"{block}self_attn.o_proj", width, queries)
        if family.has_attention_norms:
            norm(f"{block}self_attn.q_norm", family.head_dim)
            norm(f"{block}self_attn.k_norm", family.head_dim)
        normal(f"{block}mlp.gate_proj", inner, width)
        normal(f"{block}mlp.up_proj", inner, width)
        normal(f"{block}mlp.down_proj", width, inner)
    norm("model.norm")
    if with_head:
        normal("score", len(LABELS), width)
    return tensors


def frequencies(theta, width, is_scaled):
    found = theta ** (-np.arange(0, width, 2) / width)
    if not is_scaled:
        return found
    length = SCALED["original_max_position_embeddings"]
    turns = length * found / (2 * np.pi)  # in a text of that length
    low, high = SCALED["low_freq_factor"], SCALED["high_freq_factor"]
    share = np.clip((turns - low) / (high - low), 0, 1)
    return found * (share + (1 - share) / SCALED["factor"])


def hidden_states(name, tensors, ids, config):
    """Hidden states of one text."""
    family, n = FAMILIES[name], len(ids)
    t = {
        key.removesuffix(".weight"): x.astype(np.float64) for key, x in tensors.items()
    }

    def norm(x, key):
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"])
        return x * (t[key] + family.scale_is_excess)

    def turn(x, theta):
        if theta is None:
            return x
        angles = np.outer(
            np.arange(n), frequencies(theta, x.shape[-1], family.is_scaled)
        )
        first, second = np.split(x, 2, axis=-1)
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate(
            [first * cos - second * sin, second * cos + first * sin], axis=-1
        )

    def heads(x):
        return x.reshape(n, -1, family.head_dim).transpose(1, 0, 2)

    def gate(x):
        if name == "gemma3":
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x / (1 + np.exp(-x))

    x = t["model.embed_tokens"][ids]
    if name == "gemma3":
        x = x * math.sqrt(config["hidden_size"])
    distance = np.arange(n)[:, None] - np.arange(n)
    for i in range(config["num_hidden_layers"]):
        block = f"model.layers.{i}."
        own = f"{block}self_attn."
        read = norm(x, f"{block}input_layernorm")
        query, key, value = (heads(read @ t[f"{own}{p}_proj"].T) for p in "qkv")
        if family.has_attention_norms:
            query, key = norm(query, f"{own}q_norm"), norm(key, f"{own}k_norm")
        query, key = turn(query, family.theta[i]), turn(key, family.theta[i])
        groups = config["num_attention_heads"] // config["num_key_value_heads"]
        key, value = key.repeat(groups, 0), value.repeat(groups, 0)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(family.head_dim)
        is_seen = (distance >= 0) & (distance < (family.window[i] or n))
        weights = np.where(is_seen, np.exp(scores - scores.max(-1, keepdims=True)), 0)
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ value).transpose(1, 0, 2).reshape(n, -1)
        added = attended @ t[f"{own}o_proj"].T
        after = f"{block}post_attention_layernorm"
        if family.has_output_norms:
            x = x + norm(added, after)
            read = norm(x, f"{block}pre_feedforward_layernorm")
        else:
            x = x + added
            read = norm(x, after)
        mlp = f"{block}mlp."
        inner = gate(read @ t[f"{mlp}gate_proj"].T) * (read @ t[f"{mlp}up_proj"].T)
        added = inner @ t[f"{mlp}down_proj"].T
        if family.has_output_norms:
            added = norm(added, f"{block}post_feedforward_layernorm")
        x = x + added
    return norm(x, "model.norm")


# --- Folders


def write_folder(folder, name, tensors, **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings(name, **config)))
    (folder / "tokenizer.json").write_text(without_frame(), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without_frame():
    """A tokenizer that puts nothing before or after a text, as Qwen's."""
    return json.dumps({**json.loads(definition()), "post_processor": None})


# --- Against NumPy


@each_family
@pytest.mark.parametrize("has_prefix", [True, False])
def test_hidden_states_are_those_of_the_definition(tmp_path, name, has_prefix):
    tensors, config = random_tensors(name), settings(name)
    stored = tensors
    if not has_prefix:
        stored = {key.removeprefix("model."): x for key, x in tensors.items()}
    if has_prefix and name == "llama3.1":
        rng = np.random.default_rng(1)
        head = rng.normal(size=(VOCABULARY, 16)).astype(np.float32)
        stored = {**tensors, "lm_head.weight": head}
    backbone, _ = load_parts(str(write_folder(tmp_path, name, stored)), dropout=0.0)
    texts = random_texts()
    found = packed_hidden_states(backbone, texts)
    for text in texts:
        expected = hidden_states(name, tensors, text, config)
        for states in (next(found), next(found), stock_hidden_states(backbone, text)):
            np.testing.assert_allclose(states, expected, rtol=0, atol=1e-4)
    # The head for language is the checkpoint's own, or else the embedding.
    logits = np.asarray(PackedCausalLM(backbone).logits(expected.astype(np.float32)))
    head = stored.get("lm_head.weight", tensors["model.embed_tokens.weight"])
    np.testing.assert_allclose(logits, expected @ head.T, rtol=0, atol=1e-3)
    of_kind = np.asarray(kind_of(backbone).language_head(backbone))
    np.testing.assert_array_equal(of_kind, head)


@each_family
def test_a_saved_backbone_computes_the_same(tmp_path, name):
    folder = write_folder(tmp_path / "folder", name, random_tensors(name))
    backbone, _ = load_parts(str(folder), dropout=0.0)
    backbone.save_to_preset(str(tmp_path / "preset"))
    saved = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert saved.get_config() == backbone.get_config()
    text = np.arange(5, 25)
    one, other = (next(packed_hidden_states(b, [text])) for b in (backbone, saved))
    np.testing.assert_array_equal(one, other)


@each_family
def test_a_classifier_answers_at_once_with_its_own_labels(tmp_path, name):
    tensors = random_tensors(name, with_head=True)
    folder = write_folder(tmp_path / "folder", name, tensors, **CLASSIFIER)
    classifier = load_classifier(folder)
    assert classifier.label_names == ("bad", "so so", "good")
    assert classifier.pooling == "last"
    texts = ["a great film!", "bad", "<br>as it is &amp; was"]
    found, is_empty = classifier.predict_texts([*texts, ""])
    # As it was trained: from the last token of the text, with nothing after it.
    for text, one in zip(texts, found[:3], strict=True):
        (ids,) = classifier.preprocessor.tokenizer.encode_batch([text])
        state = hidden_states(name, tensors, ids, settings(name))[-1]
        logits = np.exp(state @ tensors["score.weight"].T)
        np.testing.assert_allclose(one, logits / logits.sum(), rtol=0, atol=1e-4)
    # Of no token at all nothing can be read; the end stands for it.
    np.testing.assert_array_equal(is_empty, [False, False, False, True])
    only_end = classifier.predict_tokens(RaggedTokens.from_sequences([[END]]))
    np.testing.assert_allclose(found[3], only_end[0], rtol=0, atol=1e-6)
    encoded = classifier.preprocessor.encode(["", "a film"], with_spans=True)
    assert encoded.tokens.lengths.tolist() == [1, 2]
    assert encoded.spans.tolist() == [[0, 0], [0, 1], [2, 6]]
    classifier.save(tmp_path / "model.keras")
    again = load_classifier(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(texts), found[:3])


# --- Fine-tuning


@each_family
def test_a_fresh_head_reads_an_end_after_each_text(tmp_path, name):
    folder = write_folder(tmp_path, name, random_tensors(name))
    config = ModelConfig(preset=str(folder), sequence_length=20)
    _, preprocessor = load_pretrained(config)
    tokenizer = preprocessor.tokenizer
    assert (tokenizer.start_ids, tokenizer.end_ids) == ((), (END,))
    encoded = preprocessor.encode(["", "film " * 30])
    assert encoded.tokens.lengths.tolist() == [1, 20]
    assert encoded.tokens.flat[-1] == END
    # The tokenizer's own settings come before the model's.
    (folder / "tokenizer_config.json").write_text('{"eos_token": "[MASK]"}')
    _, preprocessor = load_pretrained(config)
    assert preprocessor.tokenizer.end_ids == (4,)


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen3", "smollm3", "gemma3"])
def test_adapters_learn_over_packed_rows_and_come_back(tmp_path, name):
    folder = write_folder(tmp_path / "folder", name, random_tensors(name))
    classifier = sentiment.PackedTextClassifier.from_preset(str(folder), num_classes=2)
    kind = kind_of(classifier.backbone)
    targets = tuple(kind.lora_layers(kind.blocks(classifier.backbone)[0]))
    assert "gate" in targets
    enable_lora(classifier, 2, targets)
    frozen = {
        v.path: np.array(v.value) for v in classifier.backbone.non_trainable_variables
    }
    learned = [v for v in classifier.trainable_variables if "lora" in v.path]
    assert len(learned) == 2 * len(targets) * settings(name)["num_hidden_layers"]
    before = [np.array(v.value) for v in learned]
    classifier.compile(keras.optimizers.SGD(0.05))
    texts, labels = (
        ["great film", "bad", "good good", "a bad one"] * 4,
        [1, 0, 1, 0] * 4,
    )
    history = classifier.fit(texts, labels, epochs=3, batch_size=4, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    changed = [np.abs(v - x).max() for v, x in zip(learned, before, strict=True)]
    assert min(changed) > 0
    for variable in classifier.backbone.non_trainable_variables:
        np.testing.assert_array_equal(variable.value, frozen[variable.path])


def test_a_layer_that_a_kind_lacks_is_named(make_backbone):
    with pytest.raises(InputError, match="GPT2Backbone has no layer 'gate' for LoRA"):
        check_adaptable(make_backbone(), ("query", "gate"))


def test_half_precision_reaches_every_layer(tmp_path):
    folder = write_folder(tmp_path, "smollm3", random_tensors("smollm3"))
    backbone, _ = load_parts(str(folder), dtype="mixed_bfloat16")
    dense = backbone.transformer_layers[0].mlp.up_proj
    assert dense.compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_preset_of_kerashubs_is_taken_into_ours(tmp_path):
    # Whose blocks' variables have the same path, so that one would stand for all.
    folder = write_folder(tmp_path / "folder", "smollm3", random_tensors("smollm3"))
    ours, tokenizer = load_parts(str(folder))
    theirs = keras_hub.models.SmolLM3Backbone.from_config(ours.get_config())
    theirs.set_weights(ours.get_weights())
    assert len({v.path for v in theirs.weights}) < len(theirs.weights)
    theirs.save_to_preset(str(tmp_path / "preset"))
    tokenizer.save_to_preset(str(tmp_path / "preset"))
    loaded, _ = load_parts(str(tmp_path / "preset"), dropout=0.1)
    assert type(loaded) is HuggingFaceSmolLM3Backbone
    assert len({v.path for v in loaded.weights}) == len(loaded.weights)
    for one, other in zip(loaded.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_kept_layers_keep_their_rotation(tmp_path):
    folder = write_folder(tmp_path, "smollm3", random_tensors("smollm3"))
    backbone = with_fewer_layers(load_parts(str(folder))[0], 2)
    assert backbone.rope_layer_enabled_list == [True, True]  # the first and the last


def test_layers_are_kept_only_where_they_see_as_much(tmp_path):
    folder = write_folder(tmp_path, "gemma3", random_tensors("gemma3"))
    backbone, _ = load_parts(str(folder))
    assert with_fewer_layers(backbone, 6).num_layers == 6
    with pytest.raises(InputError, match="`keep_layers` would give layers of a Gemma3"):
        with_fewer_layers(backbone, 3)
    with pytest.raises(InputError, match="`keep_layers` would give layers of a Gemma3"):
        load_backbone(BackboneConfig(preset=str(folder), keep_layers=3))


# --- What is not computed here


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act must be 'silu'.*'gelu'"),
        ("llama", {"attention_bias": True}, "attention_bias must be False"),
        ("llama", {"head_dim": 8}, "head_dim must be 4"),
        (
            "llama",
            {"rope_scaling": {"type": "dynamic"}},
            "type default or llama3.*dynam",
        ),
        (
            "mistral",
            {"rope_scaling": {"rope_type": "yarn"}},
            "type default. Rec.*'yarn'",
        ),
        ("mistral", {"num_hidden_layers": 4}, "weights lack .*layers.3"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window must be False"),
        ("qwen3", {"vocab_size": 70}, "embed_tokens.*shape"),
        ("smollm3", {"mlp_bias": True}, "mlp_bias must be False"),
        ("smollm3", {"rope_parameters": {"rope_type": "yarn"}}, "Received: 'yarn'"),
        ("gemma3", {"query_pre_attn_scalar": 16}, "query_pre_attn_scalar must be 8"),
        ("gemma3", {"layer_types": ["full_attention"] * 6}, "layer_types must be"),
        ("gemma3", {"rms_norm_eps": 1e-5}, "rms_norm_eps must be 1e-06"),
        ("gemma3", {"rope_local_base_freq": 5.0}, "rope_local_base_freq must be 10000"),
        (
            "gemma3",
            {"rope_parameters": {"full_attention": {"rope_theta": 5.0}}},
            "rope_theta must be 1000000",
        ),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attent"),
    ],
)
def test_what_is_computed_otherwise_is_refused(tmp_path, name, config, message):
    folder = write_folder(tmp_path, name, random_tensors(name), **config)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=str(folder)))


@pytest.mark.parametrize("name", ["llama", "smollm3"])
def test_null_stands_for_what_is_usual(tmp_path, name):
    nothing = dict.fromkeys(("head_dim", "hidden_act", "mlp_bias"))
    preset = write_folder(tmp_path, name, random_tensors(name), **nothing)
    backbone, _ = load_parts(str(preset), dropout=0.0)
    assert backbone.hidden_dim == 16


def test_a_gemma_with_eyes_is_refused(tmp_path):
    folder = write_folder(tmp_path, "gemma3", random_tensors("gemma3"))
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    with pytest.raises(InputError, match="holds 'gemma3'"):
        load_pretrained(ModelConfig(preset=str(folder)))
    eyes = keras_hub.models.Gemma3VisionEncoder(16, 4, 2, 8, 1, 8, 16, 2)
    backbone = keras_hub.models.Gemma3Backbone(
        20, 16, 1, 2, 2, 16, 16, 8, vision_encoder=eyes
    )
    with pytest.raises(InputError, match="one of texts alone"):
        sentiment.PackedTextClassifier(backbone, 2)


# --- Against transformers


@each_family
def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path, name):
    about = settings(name, pad_token_id=None)
    model = write_classifier(tmp_path, without_frame(), LABELS, **about)
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model)
    check_same_without_prefix(tmp_path, classifier, model, without_frame())

import jax
import keras
import numpy as np
import pytest
from scipy.special import erf

from sentiment.config import ModelConfig
from sentiment.data.packing import RaggedTokens
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.modern_bert import KIND
from sentiment.models.backbones.modern_bert_backbone import ModernBertBackbone
from sentiment.models.backbones.variants import with_fewer_layers
from sentiment.models.huggingface import load_masked_head
from sentiment.models.packed_masked_lm import PackedMaskedLM
from sentiment.models.presets import load_parts, load_pretrained
from tests.models.huggingface_folders import (
    POSITIONS,
    VOCABULARY,
    check_hidden_states,
    check_reads_like,
    definition,
    packed_hidden_states,
    random_texts,
    without_prefix,
    write_classifier,
    write_folder,
)

WIDTH, INNER, LAYERS, HEADS, WINDOW = 16, 24, 4, 2, 8
SETTINGS = {
    "model_type": "modernbert",
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "local_attention": WINDOW,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 50.0,
    "local_rope_theta": 20.0,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def tensors():
    rng, found = np.random.default_rng(0), {}

    def normal(key, *shape, mean=0.0):
        found[f"model.{key}"] = rng.normal(mean, 0.3, shape).astype(np.float32)

    normal("embeddings.tok_embeddings.weight", VOCABULARY, WIDTH)
    norms = ["embeddings.norm", "final_norm"]
    for i in range(LAYERS):
        block = f"layers.{i}."
        normal(f"{block}attn.Wqkv.weight", 3 * WIDTH, WIDTH)
        normal(f"{block}attn.Wo.weight", WIDTH, WIDTH)
        normal(f"{block}mlp.Wi.weight", 2 * INNER, WIDTH)
        normal(f"{block}mlp.Wo.weight", WIDTH, INNER)
        norms += [f"{block}mlp_norm"] + [f"{block}attn_norm"] * (i > 0)
    for name in norms:
        normal(f"{name}.weight", WIDTH, mean=1.0)
    return found


def hidden_states(tensors, ids, epsilon=1e-5):
    t = {k.removeprefix("model."): x.astype(np.float64) for k, x in tensors.items()}
    n, half = len(ids), WIDTH // HEADS // 2

    def norm(x, key):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(x.var(-1, keepdims=True) + epsilon) * t[f"{key}.weight"]

    def turned(x, theta):
        """Pairs (j, j + half) of a head as complex numbers, turned by their place."""
        x = x.reshape(n, HEADS, 2 * half)
        angles = np.arange(n)[:, None] / theta ** (np.arange(half) / half)
        turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)[:, None]
        return np.concatenate([turned.real, turned.imag], axis=-1)

    distance = np.abs(np.arange(n)[:, None] - np.arange(n))
    x = norm(t["embeddings.tok_embeddings.weight"][ids], "embeddings.norm")
    for i in range(LAYERS):
        block, is_local = f"layers.{i}.", i % 3 > 0
        read = norm(x, f"{block}attn_norm") if i else x
        query, key, value = np.split(read @ t[f"{block}attn.Wqkv.weight"].T, 3, axis=1)
        query, key = (turned(part, 20.0 if is_local else 50.0) for part in (query, key))
        scores = np.einsum("qnh,knh->nqk", query, key) / np.sqrt(2 * half)
        if is_local:
            scores = np.where(distance <= WINDOW // 2, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = np.einsum("nqk,knh->qnh", weights, value.reshape(n, HEADS, -1))
        x = x + attended.reshape(n, WIDTH) @ t[f"{block}attn.Wo.weight"].T
        read = norm(x, f"{block}mlp_norm") @ t[f"{block}mlp.Wi.weight"].T
        gate, inner = np.split(read, 2, axis=1)
        gate = gate * (1 + erf(gate / np.sqrt(2))) / 2
        x = x + (gate * inner) @ t[f"{block}mlp.Wo.weight"].T
    return norm(x, "final_norm")


NEW_FORM = {
    "global_attn_every_n_layers": None,
    "global_rope_theta": None,
    "local_rope_theta": None,
    "layer_types": [
        "sliding_attention" if i % 3 else "full_attention" for i in range(LAYERS)
    ],
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 50.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    },
}


@pytest.mark.parametrize(
    ("has_prefix", "form"), [(True, {}), (False, {}), (True, NEW_FORM)]
)
def test_hidden_states_are_those_of_the_definition(tmp_path, tensors, has_prefix, form):
    stored = tensors
    if not has_prefix:
        stored = without_prefix(tensors, "model.")
    backbone, _ = load_parts(
        write_folder(tmp_path, {**SETTINGS, **form}, stored), dropout=0.0
    )
    check_hidden_states(backbone, lambda text: hidden_states(tensors, text))


def test_what_a_config_leaves_out_is_as_in_transformers():
    names = ("vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size")
    config = {name: SETTINGS[name] for name in (*names, "intermediate_size")}
    found = KIND.converter.convert_backbone_config(config)
    assert found["sliding_window"] == 64
    assert (found["global_wavelength"], found["local_wavelength"]) == (160_000, 10_000)
    assert found["layer_norm_epsilon"] == 1e-5
    assert [t == "full_attention" for t in found["layer_types"]] == [1, 0, 0, 1]
    found = KIND.converter.convert_backbone_config({**config, "norm_eps": 1e-3})
    assert found["layer_norm_epsilon"] == 1e-3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"norm_bias": True}, "norm_bias must be False"),
        ({"hidden_activation": "relu"}, "hidden_activation must be 'gelu'"),
        ({"layer_types": ["full_attention"]}, "for each of 4 layers"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
            "of the type default. Received: 'yarn'",
        ),
    ],
)
def test_what_is_built_otherwise_is_refused(tmp_path, tensors, config, message):
    preset = write_folder(tmp_path, {**SETTINGS, **config}, tensors)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=preset))


@pytest.mark.parametrize("reads", ["all", "first"])
def test_the_first_token_reads_its_window_alone(reads):
    """Also where the last block is computed at first tokens."""
    keras.utils.set_random_seed(0)
    backbone = ModernBertBackbone(
        VOCABULARY,
        *(2, HEADS, WIDTH, INNER),
        layer_types=["sliding_attention"] * 2,
        sliding_window=2,
    )
    layers = kind_of(backbone).packed_layers(backbone)
    layers.reads = reads
    run = jax.jit(lambda *x: layers(*x))

    def first_state(text):
        segment_ids, lengths = np.ones((1, len(text)), np.int32), [[len(text)]]
        embeddings = backbone.token_embedding(text[None])
        return np.asarray(run(embeddings, segment_ids, np.array(lengths)))[0, 0]

    text = np.arange(10, 20)
    whole = next(packed_hidden_states(backbone, [text]))[0]
    np.testing.assert_allclose(first_state(text), whole, rtol=0, atol=1e-6)
    for place, is_seen in ((4, True), (5, False)):  # two steps of two tokens
        other = text.copy()
        other[place] = 30
        change = np.abs(first_state(other) - first_state(text)).max()
        assert (change > 1e-6) == is_seen


def test_kept_layers_see_as_far_as_before(tmp_path, tensors):
    backbone, _ = load_parts(write_folder(tmp_path, SETTINGS, tensors), dropout=0.0)
    fewer = with_fewer_layers(backbone, 2)
    assert fewer.layer_types == ["full_attention", "full_attention"]  # 0 and 3
    assert [block.wavelength for block in fewer.transformer_layers] == [50.0, 50.0]


def test_its_masked_head_has_no_biases(tmp_path, tensors):
    rng = np.random.default_rng(3)
    head = {
        "head.dense.weight": rng.normal(size=(WIDTH, WIDTH)),
        "head.norm.weight": rng.normal(1, 0.3, WIDTH),
        "decoder.bias": rng.normal(size=VOCABULARY),
    }
    head = {key: array.astype(np.float32) for key, array in head.items()}
    about = {**SETTINGS, "architectures": ["ModernBertForMaskedLM"]}
    write_folder(tmp_path, about, {**tensors, **head})
    found = load_masked_head(str(tmp_path))
    np.testing.assert_array_equal(found["kernel"], head["head.dense.weight"].T)
    assert not found["bias"].any() and not found["beta"].any()
    np.testing.assert_array_equal(found["gamma"], head["head.norm.weight"])
    np.testing.assert_array_equal(found["token_bias"], head["decoder.bias"])
    backbone, _ = load_parts(str(tmp_path))
    PackedMaskedLM(backbone).set_head(found)


CLASSIFIER = {**SETTINGS, "architectures": ["ModernBertForSequenceClassification"]}


@pytest.mark.parametrize("pooling", [None, "cls", "mean"])
def test_its_classifier_answers_by_the_definition(tmp_path, tensors, pooling):
    rng = np.random.default_rng(1)
    head = {
        "head.dense.weight": rng.normal(size=(WIDTH, WIDTH)),
        "head.norm.weight": rng.normal(1.0, 0.3, WIDTH),
        "classifier.weight": rng.normal(size=(3, WIDTH)),
        "classifier.bias": rng.normal(size=3),
    }
    head = {key: array.astype(np.float32) for key, array in head.items()}
    about = {**CLASSIFIER, "norm_eps": 0.1}
    if pooling:
        about["classifier_pooling"] = pooling
    write_folder(tmp_path, about, {**tensors, **head})
    classifier = load_classifier(tmp_path)
    assert classifier.label_names == ("LABEL_0", "LABEL_1", "LABEL_2")
    classifier.save(tmp_path / "model.keras")
    classifier = keras.saving.load_model(tmp_path / "model.keras")
    for text in random_texts():
        states = hidden_states(tensors, text, epsilon=0.1)
        pooled = states.mean(0) if pooling == "mean" else states[0]
        x = pooled @ head["head.dense.weight"].T
        x = x * (1 + erf(x / np.sqrt(2))) / 2
        x = (x - x.mean()) / np.sqrt(x.var() + 0.1) * head["head.norm.weight"]
        logits = x @ head["classifier.weight"].T + head["classifier.bias"]
        expected = np.exp(logits) / np.exp(logits).sum()
        (found,) = classifier.predict_tokens(RaggedTokens.from_sequences([list(text)]))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"classifier_pooling": "max"}, r"must be 'cls' or 'mean'. Received: 'max'"),
        ({"classifier_activation": "silu"}, "classifier_activation must be 'gelu'"),
    ],
)
def test_a_head_that_is_built_otherwise_is_refused(tmp_path, tensors, config, message):
    write_folder(tmp_path, {**CLASSIFIER, **config}, tensors)
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path)


def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path):
    model = write_classifier(tmp_path, definition(), **SETTINGS)
    check_reads_like(load_classifier(tmp_path), model)

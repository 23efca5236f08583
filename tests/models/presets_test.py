import json

import huggingface_hub
import jax
import kagglehub
import keras_hub
import numpy as np
import pytest

import sentiment
from sentiment import bundled
from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.models import presets
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.packed_decoder import PackedDecoder
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.presets import load_pretrained

TEXT = "not  good\n\nat all <|endoftext|>!!!"


# --- An independent GPT-2


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def numpy_gpt2(tensors, ids, num_layers=2, num_heads=2):
    """Hidden states of one text, from Hugging Face's tensors (Conv1D: x W + b)."""
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    n = len(ids)
    x = t["wte.weight"][ids] + t["wpe.weight"][:n]
    for i in range(num_layers):

        def linear(x, name, i=i):
            return x @ t[f"h.{i}.{name}.weight"] + t[f"h.{i}.{name}.bias"]

        def norm(x, name, i=i):
            return layer_norm(x, t[f"h.{i}.{name}.weight"], t[f"h.{i}.{name}.bias"])

        qkv = linear(norm(x, "ln_1"), "attn.c_attn").reshape(n, 3, num_heads, -1)
        query, key, value = qkv.transpose(1, 2, 0, 3)  # each (heads, n, head_dim)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ value).transpose(1, 0, 2).reshape(n, -1)
        x = x + linear(attended, "attn.c_proj")
        x = x + linear(gelu_new(linear(norm(x, "ln_2"), "mlp.c_fc")), "mlp.c_proj")
    return layer_norm(x, t["ln_f.weight"], t["ln_f.bias"])


def packed_hidden_states(backbone, reviews):
    """Hidden states of reviews that share one row."""
    token_ids = np.concatenate(reviews)[None]
    lengths = np.array([[len(review) for review in reviews]])

    @jax.jit
    def run(token_ids, lengths):
        segment_ids, positions = SegmentLayout()(token_ids, lengths)
        embeddings = kind_of(backbone).embed(backbone, token_ids, positions)
        return PackedDecoder(backbone)(embeddings, segment_ids, lengths)

    return np.asarray(run(token_ids, lengths))[0]


def load_both_ways(folder):
    """Backbone and preprocessor, from `load_pretrained` and as KerasHub loads."""
    config = ModelConfig(preset=str(folder), dropout=0.0)
    classifier = sentiment.GPT2TextClassifier.from_preset(str(folder), num_classes=2)
    yield load_pretrained(config)
    yield classifier.backbone, classifier.preprocessor


# --- Loading


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_huggingface_folder_gives_gpt2s_hidden_states(
    tmp_path, vocabulary, write_huggingface_folder, prefix
):
    tensors = write_huggingface_folder(tmp_path, *vocabulary, prefix)
    rng = np.random.default_rng(0)
    reviews = [rng.integers(0, 200, n) for n in (9, 1, 14)]
    expected = np.concatenate([numpy_gpt2(tensors, review) for review in reviews])
    for backbone, _ in load_both_ways(tmp_path):
        hidden_states = packed_hidden_states(backbone, reviews)
        np.testing.assert_allclose(hidden_states, expected, rtol=0, atol=1e-4)


def test_kerashub_folder_of_a_causal_lm_gives_its_weights(
    tmp_path, vocabulary, write_kerashub_folder
):
    original = write_kerashub_folder(tmp_path, *vocabulary)
    for backbone, _ in load_both_ways(tmp_path):
        assert type(backbone) is keras_hub.models.GPT2Backbone
        for a, b in zip(backbone.weights, original.weights, strict=True):
            np.testing.assert_array_equal(a.value, b.value)


@pytest.fixture(scope="module", params=["huggingface", "kerashub"])
def folder(
    request,
    tmp_path_factory,
    vocabulary,
    write_huggingface_folder,
    write_kerashub_folder,
):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "huggingface":
        write_huggingface_folder(folder, *vocabulary)
    else:
        write_kerashub_folder(folder, *vocabulary)
    return folder


def test_tokenizer_of_any_folder_is_the_exact_one(folder, tokenizer):
    expected = tokenizer.encode_batch([TEXT])
    for _, preprocessor in load_both_ways(folder):
        assert type(preprocessor.tokenizer) is sentiment.ByteLevelGPT2Tokenizer
        assert preprocessor.tokenizer.encode_batch([TEXT]) == expected
        assert preprocessor.sequence_length == 64  # The positions, not the preset's 32.


def test_settings_reach_backbone_and_preprocessor(folder):
    config = ModelConfig(
        preset=str(folder),
        dropout=0.37,
        sequence_length=20,
        truncation="head_tail",
        lowercase=True,
    )
    backbone, preprocessor = load_pretrained(config, "mixed_bfloat16")
    assert backbone.dropout == backbone.embeddings_dropout.rate == 0.37
    assert backbone.dtype_policy.name == "mixed_bfloat16"
    assert backbone.transformer_layers[0].compute_dtype == "bfloat16"
    assert preprocessor.sequence_length == 20
    assert preprocessor.truncation == "head_tail"
    assert preprocessor.lowercase is True


def test_sequence_length_beyond_the_positions_is_an_input_error(folder):
    with pytest.raises(InputError, match=r"sequence_length=65 .* 64 positions"):
        load_pretrained(ModelConfig(preset=str(folder), sequence_length=65))


def test_tokenizer_beyond_the_embedding_is_an_input_error(
    tmp_path, vocabulary, write_huggingface_folder
):
    write_huggingface_folder(tmp_path, *vocabulary, vocab_size=299)
    with pytest.raises(InputError, match=r"tokenizer of 300 tokens and .* knows 299"):
        load_pretrained(ModelConfig(preset=str(tmp_path)))


def test_own_preset_starts_a_new_run(tmp_path, make_classifier):
    classifier = make_classifier(sequence_length=10)
    classifier.save_to_preset(str(tmp_path))
    backbone, preprocessor = load_pretrained(ModelConfig(preset=str(tmp_path)))
    for a, b in zip(backbone.weights, classifier.backbone.weights, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    assert preprocessor.encode([TEXT]).tokens.lengths[0] > 10


def test_hub_finds_our_class_for_a_stock_preset(
    tmp_path, vocabulary, write_kerashub_folder
):
    write_kerashub_folder(tmp_path, *vocabulary)
    classifier = keras_hub.models.TextClassifier.from_preset(
        str(tmp_path), num_classes=2
    )
    assert type(classifier) is sentiment.GPT2TextClassifier


# --- Errors


def load(preset):
    return load_pretrained(ModelConfig(preset=str(preset)))


def test_missing_folder_names_the_builtin_presets(tmp_path):
    with pytest.raises(InputError, match=r"nowhere' is no folder.*gpt2_base_en"):
        load(tmp_path / "nowhere")


def test_folder_without_config_lists_what_it_holds(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json\. It holds: nothing"):
        load(tmp_path)
    for name in ("pytorch_model.bin", "a.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"holds: a\.txt, pytorch_model\.bin"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[1]", b'"gpt2"'])
def test_broken_config_is_an_input_error(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"config\.json.*JSON"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "mamba"}, "'mamba'"),
        ({"class_name": "FNetBackbone", "registered_name": "x"}, "'FNetBackbone'"),
        ({}, "None"),
    ],
)
def test_config_of_another_model_is_an_input_error(tmp_path, config, kind):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"holds {kind}. Backbones known are GPT2B"):
        load(tmp_path)


@pytest.mark.parametrize("missing", ["model.safetensors", "vocab.json", "merges.txt"])
def test_incomplete_huggingface_folder_is_an_input_error(
    tmp_path, vocabulary, write_huggingface_folder, missing
):
    write_huggingface_folder(tmp_path, *vocabulary, n_layer=1)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=f"(cannot be loaded|has no).*{missing}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("size", "message"), [(1000, "hold 1,000 bytes"), (-1000, "damaged or incomplete")]
)
def test_truncated_weights_are_an_input_error(
    tmp_path, vocabulary, write_huggingface_folder, size, message
):
    write_huggingface_folder(tmp_path, *vocabulary, n_layer=1)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(InputError, match=message):
        load(tmp_path)


@pytest.fixture
def offline(monkeypatch):
    """No network and nothing cached; a client that would retry fails the test."""

    def not_reached(*args, **kwargs):
        raise AssertionError("the hub's client was started")

    monkeypatch.setattr(presets, "has_network", lambda host: False)
    cache = huggingface_hub
    monkeypatch.setattr(cache, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(cache, "hf_hub_download", not_reached)


def test_huggingface_handle_without_network_names_the_local_way_at_once(offline):
    with pytest.raises(InputError, match=r"huggingface\.co cannot.*`preset=FOLDER`"):
        load("hf://openai-community/gpt2")


def test_huggingface_handle_of_another_form_is_an_input_error():
    with pytest.raises(InputError, match="hf://user/model"):
        load("hf://a/b/c")


def test_cached_huggingface_preset_needs_no_network(offline, monkeypatch, folder):
    cache = huggingface_hub
    monkeypatch.setattr(
        cache, "try_to_load_from_cache", lambda repo, name: str(folder / name)
    )

    def cached(repo_id, filename):
        path = folder / filename
        if not path.exists():
            raise cache.errors.LocalEntryNotFoundError(filename)
        return str(path)

    monkeypatch.setattr(cache, "hf_hub_download", cached)
    backbone, _ = load("hf://openai-community/gpt2")
    assert backbone.num_layers == 2


@pytest.mark.parametrize(
    "preset", ["kaggle://keras/gpt2/keras/gpt2_base_en", "gpt2_base_en"]
)
def test_kaggle_without_network_names_the_local_way(monkeypatch, preset):
    handles = []

    def refuse(handle, path=None, **kwargs):
        handles.append(handle)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(kagglehub, "model_download", refuse)
    with pytest.raises(InputError, match=r"Name or service.*\n.*`preset=FOLDER`"):
        load(preset)
    assert all("gpt2_base_en" in handle for handle in handles)
    assert len(handles) == 1


def test_a_bundled_preset_is_found_by_name(
    tmp_path, vocabulary, write_kerashub_folder, monkeypatch
):
    original = write_kerashub_folder(tmp_path / "tiny", *vocabulary)
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    backbone, _ = load_pretrained(ModelConfig(preset="tiny"))
    for a, b in zip(backbone.weights, original.weights, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    with pytest.raises(InputError, match=r"that come along: tiny"):
        load_pretrained(ModelConfig(preset="big"))


def test_kept_layers_have_the_presets_weights(
    tmp_path, vocabulary, write_kerashub_folder
):
    original = write_kerashub_folder(tmp_path, *vocabulary, num_layers=3)
    config = ModelConfig(preset=str(tmp_path), dropout=0.0, keep_layers=2)
    found = {v.path: np.array(v.value) for v in load_pretrained(config)[0].weights}
    expected = {v.path: np.array(v.value) for v in original.weights}
    for path, value in found.items():
        source = path.replace("transformer_layer_1/", "transformer_layer_2/")
        np.testing.assert_array_equal(value, expected[source])

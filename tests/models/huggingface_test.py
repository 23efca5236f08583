"""Encoders and heads in Hugging Face's format, against two other implementations.

One is NumPy's, here. The other is transformers, where it is installed (it is in
`requirements-bench.txt`): what it writes itself must be read as it reads it.
"""

import csv
import dataclasses
import json
import math
import types

import keras_hub
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import sentiment
from sentiment.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones import KINDS
from sentiment.models.lora import enable_lora, load_adapter, merge_lora, save_adapter
from sentiment.models.presets import load_parts, load_pretrained
from sentiment.models.tokenizer_definitions import word_piece_definition
from sentiment.training.build import build_classifier
from sentiment.training.teachers import copy_head, load_kept_head
from sentiment.training.train import train_and_evaluate
from tests.conftest import TOY_TEXTS
from tests.data.odd_texts import ODD_TEXTS
from tests.models.huggingface_folders import (
    POSITIONS,
    VOCABULARY,
    check_hidden_states,
    check_reads_like,
    check_same_without_prefix,
    definition,
    packed_hidden_states,
    write_classifier,
)

WIDTH, INNER, LAYERS, HEADS = 16, 24, 2, 2
LABELS = {"0": "bad", "1": "so so", "2": "good"}


@dataclasses.dataclass(frozen=True)
class Family:
    """How Hugging Face calls what one kind of encoder is made of.

    Attributes:
        prefix: of the backbone's arrays, where there is a head.
        block: of the arrays of block `{i}`.
        query, key, value, output: projections of its attention.
        attention_norm, inner, outer, norm: the rest of it.
        settings: of `config.json`, beside the common ones.
        heads: arrays of the head: dense layer and logits.
        activation: of the head's dense layer.
    """

    prefix: str
    settings: dict
    heads: tuple[str, str]
    activation: str
    block: str = "encoder.layer.{i}."
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    norm: str = "output.LayerNorm"
    positions_begin: int = 0
    token_types: int = 2
    width_of_embeddings: int = WIDTH
    projection: str = ""


SIZES = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
OF_ROBERTA = {
    "max_position_embeddings": POSITIONS + 2,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
}
ROBERTA = Family(
    "roberta.",
    OF_ROBERTA,
    ("classifier.dense", "classifier.out_proj"),
    "tanh",
    positions_begin=2,
    token_types=1,
)
FAMILIES = {
    "bert": Family("bert.", {}, ("bert.pooler.dense", "classifier"), "tanh"),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "distilbert": Family(
        "distilbert.",
        {
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "dim": WIDTH,
            "hidden_dim": INNER,
            "dropout": 0.1,
            "activation": "gelu",
        },
        ("pre_classifier", "classifier"),
        "relu",
        block="transformer.layer.{i}.",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        output="attention.out_lin",
        attention_norm="sa_layer_norm",
        inner="ffn.lin1",
        outer="ffn.lin2",
        norm="output_layer_norm",
        token_types=0,
    ),
    "albert": Family(
        "albert.",
        {
            "hidden_act": "gelu_new",
            "embedding_size": 8,
            "num_hidden_groups": 1,
            "inner_group_num": 1,
        },
        ("albert.pooler", "classifier"),
        "tanh",
        block="encoder.albert_layer_groups.0.albert_layers.0.",
        query="attention.query",
        key="attention.key",
        value="attention.value",
        output="attention.dense",
        attention_norm="attention.LayerNorm",
        inner="ffn",
        outer="ffn_output",
        norm="full_layer_layer_norm",
        width_of_embeddings=8,
        projection="encoder.embedding_hidden_mapping_in",
    ),
    "electra": Family(
        "electra.",
        {"embedding_size": 8},
        ("classifier.dense", "classifier.out_proj"),
        "gelu",
        width_of_embeddings=8,
        projection="embeddings_project",
    ),
}

each_family = pytest.mark.parametrize("name", FAMILIES)


# --- An implementation in NumPy


def exact_gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {
    "gelu": exact_gelu,
    "gelu_new": gelu_new,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def settings(name, **changes):
    return {"model_type": name, **SIZES, **FAMILIES[name].settings, **changes}


def random_tensors(name, with_head=False):
    """The arrays of a checkpoint, a Linear's weights being (outputs, inputs)."""
    family, rng = FAMILIES[name], np.random.default_rng(0)
    tensors = {}

    def normal(key, *shape, mean=0.0):
        tensors[key] = rng.normal(mean, 0.3, shape).astype(np.float32)

    def linear(key, inputs, outputs):
        normal(f"{key}.weight", outputs, inputs)
        normal(f"{key}.bias", outputs)

    def norm(key, width):
        normal(f"{key}.weight", width, mean=1.0)
        normal(f"{key}.bias", width)

    width, prefix = family.width_of_embeddings, family.prefix
    positions = POSITIONS + family.positions_begin
    normal(f"{prefix}embeddings.word_embeddings.weight", VOCABULARY, width)
    normal(f"{prefix}embeddings.position_embeddings.weight", positions, width)
    if family.token_types:
        types = f"{prefix}embeddings.token_type_embeddings.weight"
        normal(types, family.token_types, width)
    norm(f"{prefix}embeddings.LayerNorm", width)
    if family.projection:
        linear(f"{prefix}{family.projection}", width, WIDTH)
    for i in range(1 if name == "albert" else LAYERS):
        block = prefix + family.block.format(i=i)
        for part in (family.query, family.key, family.value, family.output):
            linear(block + part, WIDTH, WIDTH)
        norm(block + family.attention_norm, WIDTH)
        linear(block + family.inner, WIDTH, INNER)
        linear(block + family.outer, INNER, WIDTH)
        norm(block + family.norm, WIDTH)
    if with_head:
        linear(family.heads[0], WIDTH, WIDTH)
        linear(family.heads[1], WIDTH, len(LABELS))
    return tensors


def hidden_states(name, tensors, ids, config):
    """Hidden states of one text."""
    family, n = FAMILIES[name], len(ids)
    t = {
        key.removeprefix(family.prefix): array.astype(np.float64)
        for key, array in tensors.items()
    }

    def linear(x, key):
        return x @ t[f"{key}.weight"].T + t[f"{key}.bias"]

    def norm(x, key):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return x * t[f"{key}.weight"] + t[f"{key}.bias"]

    def heads(x):
        return x.reshape(n, HEADS, -1).transpose(1, 0, 2)

    first = family.positions_begin
    x = t["embeddings.word_embeddings.weight"][ids]
    x = x + t["embeddings.position_embeddings.weight"][first : first + n]
    if family.token_types:
        x = x + t["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    if family.projection:
        x = linear(x, family.projection)
    for i in range(LAYERS):
        block = family.block.format(i=i)
        query, key, value = (
            heads(linear(x, block + part))
            for part in (family.query, family.key, family.value)
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ value).transpose(1, 0, 2).reshape(n, WIDTH)
        x = norm(
            x + linear(attended, block + family.output), block + family.attention_norm
        )
        inner = ACTIVATIONS[config["hidden_act"]](linear(x, block + family.inner))
        x = norm(x + linear(inner, block + family.outer), block + family.norm)
    return x


def probabilities(name, tensors, ids, config):
    """Of a classifier: dense layer on the first token's state, logits, softmax."""
    dense, output = FAMILIES[name].heads
    x = hidden_states(name, tensors, ids, config)[0]
    x = x @ tensors[f"{dense}.weight"].T + tensors[f"{dense}.bias"]
    x = ACTIVATIONS[FAMILIES[name].activation](x)
    logits = x @ tensors[f"{output}.weight"].T + tensors[f"{output}.bias"]
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


# --- Folders


def write_folder(folder, name, tensors, **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings(name, **config)))
    (folder / "tokenizer.json").write_text(definition(), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without_prefix(name, tensors):
    prefix = FAMILIES[name].prefix
    return {key.removeprefix(prefix): array for key, array in tensors.items()}


CLASSIFIER = {"architectures": ["AnyForSequenceClassification"], "id2label": LABELS}


# --- Against NumPy


@each_family
@pytest.mark.parametrize("has_prefix", [True, False])
def test_hidden_states_are_those_of_the_definition(tmp_path, name, has_prefix):
    tensors, config = random_tensors(name), settings(name)
    stored = tensors if has_prefix else without_prefix(name, tensors)
    backbone, _ = load_parts(str(write_folder(tmp_path, name, stored)), dropout=0.0)
    check_hidden_states(
        backbone, lambda text: hidden_states(name, tensors, text, config)
    )


@pytest.mark.parametrize("name", ["bert", "albert", "electra"])
def test_the_activation_is_the_one_that_the_config_names(tmp_path, name):
    tensors = random_tensors(name)
    text, found = np.arange(5, 15), []
    for activation in ("gelu", "gelu_new"):
        about = {"hidden_act": activation}
        folder = write_folder(tmp_path / activation, name, tensors, **about)
        backbone, _ = load_parts(str(folder), dropout=0.0)
        # It is a part of what is saved.
        backbone.save_to_preset(str(tmp_path / "preset"))
        saved = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
        expected = hidden_states(name, tensors, text, settings(name, **about))
        for one in (backbone, saved):
            states = next(packed_hidden_states(one, [text]))
            np.testing.assert_allclose(states, expected, rtol=0, atol=1e-4)
        found.append(states)
    # The two are told apart, so the test could fail.
    assert np.abs(found[0] - found[1]).max() > 2e-4


def test_a_class_for_one_kind_refuses_the_preset_of_another(tmp_path):
    folder = write_folder(tmp_path, "bert", random_tensors("bert"))
    with pytest.raises(InputError, match="GPT2TextClassifier reads with a GPT2Backb"):
        sentiment.GPT2TextClassifier.from_preset(str(folder), num_classes=2)


@each_family
def test_a_classifier_answers_at_once_with_its_own_labels(tmp_path, name):
    tensors = random_tensors(name, with_head=True)
    folder = write_folder(tmp_path / "folder", name, tensors, **CLASSIFIER)
    classifier = load_classifier(folder)
    assert classifier.label_names == ("bad", "so so", "good")
    assert classifier.preprocessor.sequence_length == POSITIONS
    texts = ["a great film!", "bad, BAD", "<br>as it is &amp; was", ""]
    encoded = classifier.preprocessor.encode(texts)
    config = settings(name)
    expected = [
        probabilities(name, tensors, ids, config)
        for ids in np.split(encoded.tokens.flat, np.cumsum(encoded.tokens.lengths)[:-1])
    ]
    found = classifier.predict(texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    classifier.save(tmp_path / "model.keras")
    again = load_classifier(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(texts), found)
    fresh = sentiment.PackedTextClassifier.from_preset(str(folder), num_classes=2)
    assert fresh.pooling == "cls" and fresh.head_dense is None
    assert fresh.preprocessor.clean and not classifier.preprocessor.clean


def test_the_head_of_a_hugging_face_model_may_be_trained_further(tmp_path):
    folder = write_bert(tmp_path / "folder")
    config = ModelConfig(preset=str(folder), keep_head=True, dropout=0.0)
    kept = load_kept_head(config)
    splits = types.SimpleNamespace(label_names=("good", "bad", "so so"))
    parts = load_pretrained(config)
    classifier = build_classifier(config, "float32", splits, parts, like=kept)
    copy_head(classifier, kept)
    expected = kept.predict(TOY_TEXTS)[:, [2, 0, 1]]  # in the order of the data
    classifier.preprocessor = kept.preprocessor
    np.testing.assert_allclose(classifier.predict(TOY_TEXTS), expected, atol=1e-6)
    enable_lora(classifier, 2)
    for variable in classifier.trainable_variables:
        variable.assign(variable.value + 0.1)
    save_adapter(classifier, config, tmp_path / "adapter.safetensors")
    merged = merge_lora(classifier).predict(["a film"])
    found = load_adapter(tmp_path / "adapter.safetensors")
    assert found.head_activation == "tanh"
    np.testing.assert_array_equal(found.predict(["a film"]), merged)


# --- Heads and files that cannot be used


def write_bert(folder, with_head=True, **config):
    tensors = random_tensors("bert", with_head)
    about = {**CLASSIFIER, **config} if with_head else config
    return write_folder(folder, "bert", tensors, **about)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "bad", "1": "good"}}, "has 3 classes; its id2label names"),
        ({"id2label": ["a", "b", "c"]}, "has 3 classes; its id2label names"),
        ({"id2label": {**LABELS, "1": "bad"}}, "3 different names"),
        ({"id2label": {**LABELS, "1": 5}}, "3 different names"),
        ({"problem_type": "regression"}, "answers a regression problem"),
        ({"problem_type": "multi_label_classification"}, "multi label classification"),
        ({"hidden_act": "mish"}, "activation must be one of gelu.*Received: 'mish'"),
        ({"position_embedding_type": "relative_key"}, "positions must be absolute"),
        ({"layer_norm_eps": 1e-3}, "layer_norm_eps must be 1e-12.*Received: 0.001"),
        ({"intermediate_size": 25}, r"have the shape \(24, 16\)|intermediate"),
        ({"num_hidden_layers": 3}, "weights lack .*layer.2"),
        ({"vocab_size": 40}, "word_embeddings.*shape"),
    ],
)
def test_a_config_that_contradicts_its_weights_is_refused(tmp_path, config, message):
    with pytest.raises(InputError, match=message):
        load_classifier(write_bert(tmp_path / "folder", **config))


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta"])
def test_positions_that_begin_elsewhere_are_refused(tmp_path, name):
    folder = write_folder(tmp_path, name, random_tensors(name), pad_token_id=0)
    with pytest.raises(InputError, match=r"pad_token_id must be 1.*Received: 0"):
        load_pretrained(ModelConfig(preset=str(folder)))


def test_a_bert_may_have_one_type_of_tokens(tmp_path):
    tensors = random_tensors("bert")
    types = "bert.embeddings.token_type_embeddings.weight"
    stored = {**tensors, types: tensors[types][:1]}
    folder = write_folder(tmp_path, "bert", stored, type_vocab_size=1)
    backbone, _ = load_parts(str(folder), dropout=0.0)
    config = settings("bert")
    check_hidden_states(
        backbone, lambda text: hidden_states("bert", tensors, text, config)
    )


def test_labels_without_names_are_called_as_transformers_does(tmp_path):
    classifier = load_classifier(write_bert(tmp_path / "folder", id2label=None))
    assert classifier.label_names == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_folder_without_a_head_says_that_it_is_to_be_fine_tuned(tmp_path):
    folder = write_bert(tmp_path / "folder", with_head=False)
    with pytest.raises(InputError, match=f"train --preset={folder}` to fine-tune"):
        load_classifier(folder)
    # Nor is there one for a kind whose head nobody has described.
    with pytest.raises(InputError, match=r"'mpnet'. Backbones known are"):
        load_classifier(write_bert(tmp_path / "other", model_type="mpnet"))


def test_a_head_that_nobody_has_described_is_refused(
    tmp_path, vocabulary, write_huggingface_folder, monkeypatch
):
    monkeypatch.setattr(type(KINDS["gpt2"]), "sequence_head", None)
    names = ["GPT2ForSequenceClassification"]
    write_huggingface_folder(tmp_path, *vocabulary, architectures=names)
    message = "GPT2ForSequenceClassification is not known here.*`num_classes`"
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path)
    sentiment.PackedTextClassifier.from_preset(str(tmp_path), num_classes=2)


def test_half_precision_is_read(tmp_path):
    tensors = random_tensors("bert")
    half = {k: v.astype(ml_dtypes.bfloat16) for k, v in tensors.items()}
    folder = write_folder(tmp_path, "bert", half)
    backbone, _ = load_parts(str(folder), dropout=0.0)
    table = tensors["bert.embeddings.word_embeddings.weight"]
    found = np.asarray(backbone.token_embedding.embeddings)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(
        found, table.astype(ml_dtypes.bfloat16).astype(np.float32)
    )


def test_a_tokenizer_beyond_the_embedding_is_refused(tmp_path):
    folder = write_bert(tmp_path / "folder")
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *(f"w{i}" for i in range(60)),
    ]
    definition = word_piece_definition(tokens, lowercase=True)
    (folder / "tokenizer.json").write_text(definition)
    with pytest.raises(InputError, match="tokenizer has 65 tokens, the backbone 60"):
        load_classifier(folder)
    with pytest.raises(InputError, match=r"tokenizer of 65 tokens and .* knows 60"):
        load_pretrained(ModelConfig(preset=str(folder)))


@pytest.mark.parametrize(
    "content", ["{}", "not JSON", '{"model": {"type": "X"}}', "[]"]
)
def test_a_damaged_tokenizer_is_refused(tmp_path, content):
    folder = write_bert(tmp_path / "folder")
    (folder / "tokenizer.json").write_text(content)
    for load in (
        load_classifier,
        lambda f: load_pretrained(ModelConfig(preset=str(f))),
    ):
        with pytest.raises(InputError, match="definition of a tokenizer is damaged"):
            load(folder)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = write_bert(tmp_path / "folder")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_classifier(folder)


def test_weights_in_several_files_are_read(tmp_path):
    tensors = random_tensors("bert", with_head=True)
    folder = write_folder(tmp_path / "folder", "bert", tensors, **CLASSIFIER)
    expected = load_classifier(folder).predict(TOY_TEXTS)
    (folder / "model.safetensors").unlink()
    names, files = sorted(tensors), {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{i + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        files |= dict.fromkeys(part, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    np.testing.assert_array_equal(load_classifier(folder).predict(TOY_TEXTS), expected)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model-00002-of-00002\.safetensors"):
        load_classifier(folder)
    index.write_text("{}")
    with pytest.raises(InputError, match=r"index\.json is damaged"):
        load_classifier(folder)


def test_truncated_weights_are_refused_in_one_line(tmp_path):
    folder = write_bert(tmp_path / "folder")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(
        InputError, match=r"model\.safetensors is damaged or incomplete"
    ):
        load_classifier(folder)


def test_capitals_that_a_model_has_learned_are_not_taken_away(tmp_path):
    folder = write_bert(tmp_path / "folder")
    load_pretrained(
        ModelConfig(preset=str(folder), lowercase=True)
    )  # It does so itself.
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "a", "film", "FILM"]
    definition = word_piece_definition(tokens, lowercase=False)
    (folder / "tokenizer.json").write_text(definition)
    load_pretrained(ModelConfig(preset=str(folder)))
    with pytest.raises(InputError, match="learned from texts with capitals"):
        load_pretrained(ModelConfig(preset=str(folder), lowercase=True))


# --- Against transformers


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch", reason="it is in requirements-bench.txt")
    return pytest.importorskip("transformers", reason="it is in requirements-bench.txt")


@each_family
def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path, name):
    model = write_classifier(tmp_path, definition(), LABELS, **settings(name))
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model)
    check_same_without_prefix(tmp_path, classifier, model, definition())


def test_tokens_are_those_of_transformers(transformers, tmp_path):
    (tmp_path / "tokenizer.json").write_text(definition())
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), split_special_tokens=True
    )
    ours = sentiment.FastTokenizer(definition())
    texts = [text.encode("utf-8", "replace").decode() for text in ODD_TEXTS]
    for text, ids in zip(texts, ours.encode_batch(texts), strict=True):
        assert [*ours.start_ids, *ids, *ours.end_ids] == theirs(text)["input_ids"]


# --- Chinese


def test_a_chinese_bert_reads_characters_and_learns_from_hotel_reviews(
    tmp_path, shared_data
):
    """Of bert-base-chinese's form: `vocab.txt` of characters, each of them a word."""
    train, test = (
        shared_data / "zh" / f"hotel_{name}.csv" for name in ("train", "test")
    )
    with open(train, encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)][:3000]
    train = tmp_path / "train.csv"
    with open(train, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    text = "".join(row["text"] for row in rows).lower()
    characters = sorted({c for c in text if not c.isspace()})
    others = [f"##{c}" for c in characters if c.isascii()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *others]
    rng, sizes = np.random.default_rng(0), {"word": len(tokens), "position": 64}
    tensors = {
        # Small ones, as before any training; norms stay.
        key: array if "LayerNorm" in key else array / 3
        for key, array in random_tensors("bert").items()
    }
    tensors |= {
        f"bert.embeddings.{name}_embeddings.weight": rng.normal(0, 0.1, (size, WIDTH))
        for name, size in sizes.items()
    }
    about = {"vocab_size": len(tokens), "max_position_embeddings": 64}
    folder = write_folder(tmp_path / "bert", "bert", tensors, **about)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")

    data = DataConfig(
        train_file=str(train), test_file=str(test), validation_fraction=0.1
    )
    model = ModelConfig(preset=str(folder), sequence_length=64, pooling="mean")
    training = TrainingConfig(epochs=1, batch_size=16, learning_rate=0.01)
    result = train_and_evaluate(RunConfig(data, model, training), tmp_path / "run")
    ids = result.classifier.preprocessor.tokenizer.encode_batch(["房间很好。room 12"])[
        0
    ]
    found = [tokens[i] for i in ids]
    assert found == [*"房间很好。", *"r", *(f"##{c}" for c in "oom"), "1", "##2"]
    assert result.metrics["test"]["accuracy"] > 0.75  # two thirds praise

import json

import keras_hub
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tokenizers import Tokenizer, models, pre_tokenizers

import sentiment
from sentiment.config import ModelConfig
from sentiment.data.vocabulary import END_OF_TEXT, read_vocabulary
from sentiment.models.presets import load_pretrained

HARD_TEXTS = [
    "line one\n\nline two",
    "Don't   stop\tnow , it's 2,000'000 a.m.!!!",
    " leading and trailing  ",
    "中文很好 😀 naïve\u00a0é",
    f"the end {END_OF_TEXT} or {END_OF_TEXT}{END_OF_TEXT}",
    "\r\n \n x\u3000y",
    "",
]


def reference(vocabulary, merges):
    """GPT-2's tokenizer straight from the `tokenizers` package."""
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=True
    )
    return tokenizer


# --- Any vocabulary


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_ids_are_those_of_the_byte_level_bpe(tokenizer, vocabulary, text):
    expected = reference(*vocabulary).encode(text).ids
    assert tokenizer.encode_batch([text]) == [expected]


def test_calling_gives_what_encode_batch_gives(tokenizer):
    texts = HARD_TEXTS[:4]
    assert [list(ids) for ids in tokenizer(texts)] == tokenizer.encode_batch(texts)


def test_decoding_gives_the_text_back(tokenizer):
    for text in HARD_TEXTS:
        assert tokenizer.detokenize(tokenizer.encode_batch([text])) == [text]


def test_literal_end_of_text_is_plain_text(tokenizer):
    ids = tokenizer.encode_batch([END_OF_TEXT])[0]
    assert len(ids) > 1
    assert tokenizer.end_token_id not in ids


def test_start_and_end_token_are_end_of_text(tokenizer, vocabulary):
    assert tokenizer.start_token_id == vocabulary[0][END_OF_TEXT]
    assert tokenizer.end_token_id == vocabulary[0][END_OF_TEXT]


def test_plain_files_give_the_tokenizer_of_the_dict(tmp_path, vocabulary, tokenizer):
    tokens, merges = vocabulary
    vocabulary_path, merges_path = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocabulary_path.write_text(json.dumps(tokens))
    merges_path.write_text("\n".join(["#version: 0.2", *merges, ""]))
    read = sentiment.ByteLevelGPT2Tokenizer(str(vocabulary_path), str(merges_path))
    assert read.encode_batch(HARD_TEXTS) == tokenizer.encode_batch(HARD_TEXTS)
    assert read.merges == merges
    assert read.vocabulary_size() == len(tokens)


def test_from_tokenizer_makes_the_exact_one_of_a_stock_one(vocabulary, tokenizer):
    stock = keras_hub.models.GPT2Tokenizer(*vocabulary)
    exact = sentiment.ByteLevelGPT2Tokenizer.from_tokenizer(stock)
    assert type(exact) is sentiment.ByteLevelGPT2Tokenizer
    assert exact.encode_batch(HARD_TEXTS) == tokenizer.encode_batch(HARD_TEXTS)
    assert sentiment.ByteLevelGPT2Tokenizer.from_tokenizer(exact) is exact


def test_refuses_to_run_inside_a_tensorflow_graph(tokenizer, monkeypatch):
    base = keras_hub.models.GPT2Tokenizer
    monkeypatch.setattr(base, "_use_tf_workflow", lambda self: True)
    with pytest.raises(NotImplementedError, match="Tokenize in Python"):
        tokenizer(["a"])


def test_config_holds_every_setting_and_assets_the_vocabulary(tmp_path, vocabulary):
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*vocabulary, add_prefix_space=True)
    config = tokenizer.get_config()
    again = sentiment.ByteLevelGPT2Tokenizer.from_config(config)
    assert again.get_config() == config
    assert again.add_prefix_space is True
    assert "vocabulary" not in config  # KerasHub's way: it travels as files.
    tokenizer.save_assets(str(tmp_path))
    again.load_assets(str(tmp_path))
    assert (again.vocabulary, again.merges) == (tokenizer.vocabulary, tokenizer.merges)
    assert again.encode_batch(HARD_TEXTS) == tokenizer.encode_batch(HARD_TEXTS)
    assert again.encode_batch(["a"]) == again.encode_batch([" a"])


# --- GPT-2's own vocabulary


@pytest.fixture(scope="module")
def gpt2_vocabulary(shared_data):
    return read_vocabulary(shared_data / "gpt2")


@pytest.fixture(scope="module")
def imdb(shared_data, gpt2_vocabulary):
    """2,000 raw reviews and their ids by the `tokenizers` package."""
    source = tfds.data_source(
        "imdb_reviews", split="test", data_dir=shared_data / "tfds", download=False
    )
    texts = [
        source[i]["text"].decode()
        for i in np.linspace(0, len(source) - 1, 2000, dtype=int)
    ]
    encodings = reference(*gpt2_vocabulary).encode_batch_fast(
        texts, add_special_tokens=False
    )
    assert len(texts) == 2000
    return texts, [encoding.ids for encoding in encodings]


def from_plain_files(folder, shared_data, **_):
    files = [str(shared_data / "gpt2" / name) for name in ("vocab.json", "merges.txt")]
    return sentiment.ByteLevelGPT2Tokenizer(*files)


def from_huggingface(folder, gpt2_vocabulary, write_huggingface_folder, **_):
    write_huggingface_folder(folder, *gpt2_vocabulary, n_layer=1, n_embd=2)
    return load_pretrained(ModelConfig(preset=str(folder)))[1].tokenizer


def from_kerashub(folder, gpt2_vocabulary, write_kerashub_folder, **_):
    write_kerashub_folder(folder, *gpt2_vocabulary, num_layers=1, hidden_dim=2)
    return load_pretrained(ModelConfig(preset=str(folder)))[1].tokenizer


@pytest.mark.parametrize("source", [from_plain_files, from_huggingface, from_kerashub])
def test_ids_of_2000_reviews_are_gpt2s(
    tmp_path,
    shared_data,
    gpt2_vocabulary,
    imdb,
    write_huggingface_folder,
    write_kerashub_folder,
    source,
):
    tokenizer = source(
        tmp_path,
        shared_data=shared_data,
        gpt2_vocabulary=gpt2_vocabulary,
        write_huggingface_folder=write_huggingface_folder,
        write_kerashub_folder=write_kerashub_folder,
    )
    assert type(tokenizer) is sentiment.ByteLevelGPT2Tokenizer
    texts, expected = imdb
    ids = tokenizer.encode_batch(texts)
    differing = [
        text for text, a, b in zip(texts, ids, expected, strict=True) if a != b
    ]
    assert differing == []
    assert tokenizer.end_token_id == 50256


def test_known_ids_of_gpt2(gpt2_vocabulary):
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*gpt2_vocabulary)
    assert tokenizer.encode_batch(["Hello world"]) == [[15496, 995]]  # the docstring's
    line_break = 198
    assert tokenizer.encode_batch(["line one\n\nline two"]) == [
        [1370, 530, line_break, line_break, 1370, 734]
    ]


# --- Facts about the libraries that the design leans on


def test_fact_pad_id_of_gpt2_is_its_exclamation_mark(gpt2_vocabulary):
    stock = keras_hub.models.GPT2Tokenizer(*gpt2_vocabulary)
    assert gpt2_vocabulary[0]["!"] == 0
    assert stock.pad_token_id == 0


def test_fact_stock_tokenizer_splits_otherwise_than_gpt2(gpt2_vocabulary):
    text = "line one\n\nline two"
    stock = keras_hub.models.GPT2Tokenizer(*gpt2_vocabulary)
    assert list(stock([text])[0]) != reference(*gpt2_vocabulary).encode(text).ids


def test_fact_stock_tokenizer_reads_end_of_text_in_a_text_as_special(vocabulary):
    stock = keras_hub.models.GPT2Tokenizer(*vocabulary)
    assert list(np.asarray(stock([END_OF_TEXT])[0])) == [stock.end_token_id]


def test_fact_a_preset_of_the_stock_tokenizer_yields_the_stock_class(
    tmp_path, vocabulary
):
    keras_hub.models.GPT2Tokenizer(*vocabulary).save_to_preset(str(tmp_path))
    config = {
        "class_name": "GPT2Backbone",
        "registered_name": "keras_hub>GPT2Backbone",
        "config": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = sentiment.ByteLevelGPT2Tokenizer.from_preset(str(tmp_path))
    assert type(loaded) is keras_hub.models.GPT2Tokenizer

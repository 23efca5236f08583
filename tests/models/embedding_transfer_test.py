"""Token embeddings that come from another model."""

import random

import keras
import numpy as np
import pytest
import tokenizers

import sentiment
from sentiment.errors import InputError
from sentiment.models import embedding_transfer
from sentiment.models.embedding_transfer import (
    PretrainedEmbeddings,
    check_embeddings,
    load_embeddings,
    transfer_embeddings,
)
from sentiment.models.tokenizer_definitions import word_piece_definition

WORDS = ["film", "good", "news", "##s", "fun"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
# No "##" before a letter but s: other words that are not whole are unknown.
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *WORDS]


def word_piece(more=()):
    return sentiment.FastTokenizer(
        word_piece_definition([*TOKENS, *more], lowercase=True)
    )


def random_vectors(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def transferred(backbone, tokenizer, source):
    """The embeddings of a backbone, before and after."""
    variable = backbone.token_embedding.embeddings
    before = np.array(variable)
    transfer_embeddings(backbone, tokenizer, source)
    return before, np.array(variable)


def distances(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)


def own_tokenizer(*words):
    """A byte-level tokenizer with these tokens, each made of its letters."""
    letters = sorted({letter for word in words for letter in word})
    tokens, merges = ["<|endoftext|>", *letters], []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return sentiment.ByteLevelGPT2Tokenizer(vocabulary, merges)


def test_a_token_is_the_mean_of_the_pieces_that_the_other_tokenizer_makes(
    make_backbone,
):
    tokenizer = own_tokenizer("Ġgood", "Ġfilms", "s", "é")
    source = word_piece()
    vectors = random_vectors(len(TOKENS), 16)
    backbone = make_backbone(vocabulary_size=tokenizer.vocabulary_size())
    before, after = transferred(
        backbone, tokenizer, PretrainedEmbeddings(source, vectors)
    )

    def row(token):
        return after[tokenizer.vocabulary[token]]

    def piece(*tokens):
        return vectors[[TOKENS.index(token) for token in tokens]].mean(axis=0)

    # All are moved by the same mean and stretched by the same factor.
    expected = {
        "Ġgood": piece("good"),
        "Ġfilms": piece("film", "##s"),
        "Ġfilm": piece("film"),
        "s": piece("##s"),  # goes on with a word
        "d": piece("d"),
    }
    found = distances(np.stack([row(token) for token in expected]))
    wanted = distances(np.stack(list(expected.values())))
    np.testing.assert_allclose(found, wanted * found[0, 1] / wanted[0, 1], rtol=1e-4)
    # A byte-level vocabulary writes the byte 0xE9 as é; alone it is no text.
    for token in ("<|endoftext|>", "Ġ", "é"):
        index = tokenizer.vocabulary[token]
        np.testing.assert_array_equal(after[index], before[index])


def test_the_start_token_and_broken_characters_stay_random(make_backbone):
    # "é" has two bytes, of which each alone is no text.
    tokenizer = own_tokenizer("Ã©", "good")
    source = word_piece()
    backbone = make_backbone(vocabulary_size=tokenizer.vocabulary_size())
    before, after = transferred(
        backbone, tokenizer, PretrainedEmbeddings(source, random_vectors(36, 16))
    )
    is_random = (before == after).all(axis=1)
    names = {name for name, i in tokenizer.vocabulary.items() if is_random[i]}
    # Of "go" and "goo" the other tokenizer knows no pieces.
    assert names == {"<|endoftext|>", "Ã", "©", "go", "goo"}


@pytest.mark.parametrize("width", [16, 40])
def test_what_lies_in_few_dimensions_keeps_all_distances(
    make_backbone, tokenizer, width
):
    """The backbone has 16 dimensions; no more than 10 of the source's say anything."""
    vectors = random_vectors(tokenizer.vocabulary_size(), 10) @ random_vectors(
        10, width
    )
    source = PretrainedEmbeddings(tokenizer, vectors)
    before, after = transferred(make_backbone(), tokenizer, source)
    is_new = (before != after).any(axis=1)
    assert is_new.sum() > 150
    found, wanted = distances(after[is_new]), distances(vectors[is_new])
    np.testing.assert_allclose(found, wanted * found[0, 1] / wanted[0, 1], rtol=1e-3)


@pytest.mark.parametrize("width", [16, 40])
def test_embeddings_have_the_size_that_random_ones_have(
    make_backbone, tokenizer, width
):
    vectors = 7 + 100 * random_vectors(tokenizer.vocabulary_size(), width)
    source = PretrainedEmbeddings(tokenizer, vectors)
    before, after = transferred(make_backbone(), tokenizer, source)
    is_new = (before != after).any(axis=1)
    np.testing.assert_allclose(
        np.mean(after[is_new] ** 2), np.mean(before**2), rtol=1e-4
    )
    np.testing.assert_allclose(after[is_new].mean(axis=0), 0, atol=1e-3)


def test_fewer_tokens_than_dimensions_leave_the_rest_empty(make_backbone):
    tokenizer = own_tokenizer("Ġfun")
    source = word_piece()
    backbone = make_backbone(vocabulary_size=tokenizer.vocabulary_size())
    vectors = random_vectors(len(TOKENS), 40)
    before, after = transferred(
        backbone, tokenizer, PretrainedEmbeddings(source, vectors)
    )
    is_new = (before != after).any(axis=1)
    assert 0 < is_new.sum() < 16
    assert np.isfinite(after).all()
    assert (after[is_new][:, is_new.sum() :] == 0).all()


def test_a_preset_gives_its_embeddings(make_backbone, tokenizer, tmp_path):
    backbone = make_backbone()
    backbone.save_to_preset(tmp_path)
    tokenizer.save_to_preset(tmp_path)
    source = load_embeddings(str(tmp_path))
    np.testing.assert_array_equal(
        source.vectors, np.array(backbone.token_embedding.embeddings)
    )
    assert source.tokenizer.vocabulary == tokenizer.vocabulary
    check_embeddings(str(tmp_path), 16)
    with pytest.raises(InputError, match=r"of 16 dimensions.*--hidden_dim=17"):
        check_embeddings(str(tmp_path), 17)
    with pytest.raises(InputError, match=r"--embeddings_from: .* is no folder here"):
        check_embeddings(str(tmp_path / "none"), 16)


def test_loading_another_model_takes_no_random_numbers(
    make_backbone, tokenizer, tmp_path
):
    make_backbone().save_to_preset(tmp_path)
    tokenizer.save_to_preset(tmp_path)

    def drawn(*before):
        keras.utils.set_random_seed(0)
        for step in before:
            step(str(tmp_path))
        return random.random(), np.random.random(), np.array(keras.random.normal((3,)))

    plain = drawn()
    loaded = drawn(load_embeddings, lambda preset: check_embeddings(preset, 16))
    for a, b in zip(plain, loaded, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_tokenizer_that_does_not_fit_its_backbone_is_refused(
    make_backbone, tokenizer, tmp_path
):
    make_backbone(vocabulary_size=200).save_to_preset(tmp_path)
    tokenizer.save_to_preset(tmp_path)
    with pytest.raises(InputError, match="do not belong together"):
        check_embeddings(str(tmp_path), 16)


def test_a_vocabulary_without_words_is_refused(make_backbone):
    tokenizer = own_tokenizer("Ã")
    backbone = make_backbone(vocabulary_size=tokenizer.vocabulary_size())
    source = PretrainedEmbeddings(word_piece(), random_vectors(len(TOKENS), 40))
    with pytest.raises(InputError, match="fewer than two tokens"):
        transfer_embeddings(backbone, tokenizer, source)


# --- Which pieces other kinds of tokenizers have for a token's text

OWN = ("Ġgood", "Ġfilms", "good", "ing", "##", "!", "☃")


def pieces_of(source):
    """The pieces that `source` has for each token of `OWN`, as strings."""
    utf_8 = {"☃": "âĺĥ"}  # as a byte-level vocabulary writes it
    tokenizer = own_tokenizer(*(utf_8.get(word, word) for word in OWN))
    found = embedding_transfer._pieces(tokenizer, source)
    ids = (tokenizer.vocabulary[utf_8.get(word, word)] for word in OWN)
    return {
        word: [source.id_to_token(i) for i in found[token_id]]
        for word, token_id in zip(OWN, ids, strict=True)
    }


def test_a_word_piece_goes_on_with_a_word():
    pieces = pieces_of(word_piece(more=["##ing", "!", "#"]))
    assert pieces == {
        "Ġgood": ["good"],
        "Ġfilms": ["film", "##s"],
        "good": ["good"],
        "ing": ["##ing"],
        "##": ["#", "#"],
        "!": ["!"],
        "☃": [],  # unknown
    }


def test_a_byte_level_source_has_the_same_text():
    source = own_tokenizer(*OWN[:-1], "###", "##good")
    pieces = pieces_of(source)
    assert {word: pieces[word] for word in OWN[:-1]} == {
        word: [word] for word in OWN[:-1]
    }


def llama(words):
    """SentencePiece's BPE as Llama has it: a space goes before each text."""
    letters = sorted({letter for word in words for letter in word} | {"a", "▁"})
    vocabulary, merges = ["<unk>", *letters], []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    model = tokenizers.models.BPE(
        vocab={token: i for i, token in enumerate(vocabulary)},
        merges=merges,
        unk_token="<unk>",
    )
    tokenizer = tokenizers.Tokenizer(model)
    normalizers = tokenizers.normalizers
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return sentiment.FastTokenizer(tokenizer.to_str())


def unigram(words):
    """SentencePiece's unigrams as XLM-RoBERTa has them."""
    letters = sorted({letter for word in words for letter in word} | {"a", "▁"})
    scores = [("<unk>", 0.0), *((word, -1.0) for word in words)]
    scores += [(letter, -9.0) for letter in letters]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=0))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return sentiment.FastTokenizer(tokenizer.to_str())


@pytest.mark.parametrize("make", [llama, unigram])
def test_a_source_that_puts_a_space_before_texts_tells_words_from_their_parts(make):
    pieces = pieces_of(make(["▁good", "▁film", "s", "ing", "##"]))
    assert pieces == {
        "Ġgood": ["▁good"],
        "Ġfilms": ["▁film", "s"],
        "good": ["▁good"],  # no part of a word is written so
        "ing": ["ing"],
        "##": ["##"],
        "!": [],
        "☃": [],
    }

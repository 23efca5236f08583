"""Tokenizers from a `tokenizer.json`."""

import copy
import json

import keras
import numpy as np
import pytest
import tokenizers

import sentiment
from sentiment.errors import InputError
from sentiment.models.fast_tokenizer import DEFINITION_FILE
from sentiment.models.packed_text_classifier_preprocessor import (
    PackedTextClassifierPreprocessor,
)
from sentiment.models.tokenizer_definitions import (
    byte_level_definition,
    word_piece_definition,
)
from tests.conftest import TOY_TEXTS
from tests.data.odd_texts import ODD_TEXTS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz.,!'"]
TOKENS = [*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), "film", "great", "中", "好"]
DEFINITION = word_piece_definition(TOKENS, lowercase=True)


@pytest.fixture(scope="module")
def word_piece():
    return sentiment.FastTokenizer(DEFINITION)


@pytest.fixture(scope="module")
def byte_level(vocabulary):
    tokens, merges = vocabulary
    definition = byte_level_definition(tokens, merges, "<|endoftext|>", "")
    return sentiment.FastTokenizer(definition)


def test_frame_and_ids_are_those_of_the_definition(word_piece):
    assert (word_piece.start_ids, word_piece.end_ids) == ((2,), (3,))
    assert word_piece.frame_length == 2
    assert word_piece.mask_id == 4
    assert word_piece.vocabulary_size() == len(TOKENS)
    assert word_piece.get_vocabulary() == TOKENS
    film, great = TOKENS.index("film"), TOKENS.index("great")
    assert word_piece(["A GREAT film", ""]) == [[5, great, film], []]
    assert word_piece("film") == [film]
    assert word_piece.detokenize([[great, film]]) == ["great film"]
    assert word_piece.token_to_id("film") == film
    assert word_piece.id_to_token(film) == "film"


def test_a_frame_may_have_one_side(byte_level, vocabulary):
    end = vocabulary[0]["<|endoftext|>"]
    assert (byte_level.start_ids, byte_level.end_ids) == ((end,), ())
    assert byte_level.mask_id is None
    both = sentiment.FastTokenizer(byte_level.definition, end_ids=[end])
    assert (both.start_ids, both.end_ids) == ((end,), (end,))
    assert both.fingerprint != byte_level.fingerprint


def test_special_tokens_in_a_text_are_plain_text(word_piece):
    (ids,) = word_piece.encode_batch(["a [SEP] b [CLS] [MASK]"])
    assert not {2, 3, 4} & set(ids)


def test_limits_and_padding_of_the_definition_do_not_count():
    tokenizer = tokenizers.Tokenizer.from_str(DEFINITION)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    found = sentiment.FastTokenizer(tokenizer.to_str())
    assert found(["film " * 10, "film"]) == [
        [found.token_to_id("film")] * n for n in (10, 1)
    ]


@pytest.mark.parametrize("name", ["word_piece", "byte_level"])
def test_spans_are_in_order_and_hold_what_the_token_says(request, name):
    tokenizer = request.getfixturevalue(name)
    texts = [text.encode("utf-8", "replace").decode() for text in ODD_TEXTS]
    for text, (ids, spans) in zip(
        texts, tokenizer.encode_with_spans(texts), strict=True
    ):
        assert ids == tokenizer.encode_batch([text])[0]
        assert len(ids) == len(spans)
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
    text = "A great,  FILM"
    ids, spans = tokenizer.encode_with_spans([text])[0]
    whole = "".join(text[start:end] for start, end in spans)
    assert whole.replace(" ", "") == "Agreat,FILM"


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_a_preprocessor_frames_truncates_and_knows_places(word_piece, truncation):
    reader = PackedTextClassifierPreprocessor(
        word_piece, sequence_length=6, truncation=truncation
    )
    texts = ["great<br />film! great film.", "", "中好"]
    encoded = reader.encode(texts, with_spans=True)
    assert encoded.tokens.lengths.tolist() == [6, 2, 4]
    assert encoded.is_empty.tolist() == [False, True, False]
    assert encoded.num_dropped == 2
    first = encoded.tokens.flat[:6]
    assert (first[0], first[-1]) == (2, 3)
    kept = ["great", "film", "!", "great", "film", "."]
    kept = {"head": kept[:4], "tail": kept[2:], "head_tail": [kept[0], *kept[3:]]}
    kept = kept[truncation]
    assert [word_piece.id_to_token(int(i)) for i in first[1:-1]] == kept
    spans = encoded.spans[:6]
    assert [texts[0][a:b] for a, b in spans[1:-1]] == kept
    assert spans[0].tolist() == [0, 0]
    assert spans[-1].tolist() == [len(texts[0])] * 2


def test_room_for_a_token_is_needed(word_piece):
    with pytest.raises(InputError, match=r"be at least 3\. Received: 2"):
        PackedTextClassifierPreprocessor(word_piece, sequence_length=2)


def test_a_text_may_be_read_as_it_is(word_piece):
    raw = PackedTextClassifierPreprocessor(word_piece, 32, clean=False)
    cleaned = PackedTextClassifierPreprocessor(word_piece, 32)
    text = "a<b>film</b>\ud800"
    both = [reader.encode([text]).tokens.flat.tolist() for reader in (raw, cleaned)]
    assert both[0][1:-1] == word_piece("a<b>film</b>\ufffd")
    assert both[1][1:-1] == word_piece("a film \ufffd")
    spans = raw.encode([text], with_spans=True).spans
    (place,) = np.flatnonzero(raw.encode([text]).tokens.flat == TOKENS.index("film"))
    assert spans[place].tolist() == [4, 8]
    assert raw.fingerprint != cleaned.fingerprint
    with pytest.raises(InputError, match="lowercase is a part of cleaning"):
        PackedTextClassifierPreprocessor(word_piece, lowercase=True, clean=False)


def test_it_comes_back_whole(word_piece, tmp_path):
    tokenizer = sentiment.FastTokenizer(DEFINITION, end_ids=())
    tokenizer.save_to_preset(str(tmp_path))
    assert (tmp_path / "assets" / "tokenizer" / DEFINITION_FILE).is_file()
    config = json.loads((tmp_path / "tokenizer.json").read_text())
    found = keras.saving.deserialize_keras_object(config)
    assert found.vocabulary is None
    for use in (found.vocabulary_size, lambda: found(["a"]), lambda: found.fingerprint):
        with pytest.raises(InputError, match="has no definition yet"):
            use()
    found.load_preset_assets(str(tmp_path))
    assert found.end_ids == () != word_piece.end_ids
    assert found.fingerprint == tokenizer.fingerprint != word_piece.fingerprint
    assert found(TOY_TEXTS) == word_piece(TOY_TEXTS)


def test_a_classifier_with_it_is_copied_whole(word_piece, make_backbone):
    reader = PackedTextClassifierPreprocessor(word_piece, 16)
    backbone = make_backbone(vocabulary_size=len(TOKENS))
    classifier = sentiment.GPT2TextClassifier(backbone, 2, reader)
    other = copy.deepcopy(classifier)
    assert other.preprocessor.tokenizer.definition == DEFINITION
    np.testing.assert_array_equal(
        other.predict(TOY_TEXTS), classifier.predict(TOY_TEXTS)
    )


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("", "is damaged or of another version"),
        ("{}", "is damaged or of another version"),
        (tokenizers.Tokenizer(tokenizers.models.BPE()).to_str(), "has no tokens"),
    ],
)
def test_a_damaged_definition_is_refused(definition, message):
    with pytest.raises(InputError, match=message):
        sentiment.FastTokenizer(definition)

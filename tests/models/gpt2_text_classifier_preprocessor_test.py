import keras_hub
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from tokenizers import pre_tokenizers

import sentiment
from sentiment.data.cleaning import clean_text
from sentiment.data.vocabulary import END_OF_TEXT
from sentiment.errors import InputError
from sentiment.models import packed_text_classifier_preprocessor as module
from sentiment.models.packed_text_classifier_preprocessor import (
    DEFAULT_SEQUENCE_LENGTH,
)
from tests.data.odd_texts import ODD_TEXTS
from tests.data.strategies import raw_texts

# Digits do not merge in the toy vocabulary: each is a token.
DIGITS = "31415926535897932384626433"


@pytest.fixture
def make(tokenizer):
    def make(**options):
        return sentiment.GPT2TextClassifierPreprocessor(tokenizer, **options)

    return make


def content(encoded, index=0):
    """Ids between start and end token."""
    return encoded.tokens[index][1:-1].tolist()


# --- Encoding


def test_review_stands_between_start_and_end_token(make, tokenizer):
    end = tokenizer.end_token_id
    ids = tokenizer.encode_batch(["A great film!"])[0]
    encoded = make().encode(["A great film!"])
    assert encoded.tokens[0].tolist() == [end, *ids, end]
    assert encoded.num_dropped == 0


def test_texts_are_cleaned_first(make):
    raw, clean = (
        make()
        .encode(["  Great<br /><br />film &amp; cast ", "Great film & cast"])
        .tokens
    )
    np.testing.assert_array_equal(raw, clean)


def test_lowercase_is_a_choice(make):
    texts = ["Great FILM", "great film"]
    cased = make().encode(texts)
    assert content(cased, 0) != content(cased, 1)
    lowered = make(lowercase=True).encode(texts)
    assert content(lowered, 0) == content(lowered, 1) == content(cased, 1)


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [
        ("head", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("tail", [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]),
        # Ten tokens: a quarter, rounded down, from the start, the rest from the end.
        ("head_tail", [0, 1, 18, 19, 20, 21, 22, 23, 24, 25]),
    ],
)
def test_truncation_keeps_its_part_and_both_special_tokens(make, truncation, kept):
    preprocessor = make(sequence_length=12, truncation=truncation)
    encoded = preprocessor.encode([DIGITS])
    all_ids = preprocessor.tokenizer.encode_batch([DIGITS])[0]
    assert len(all_ids) == len(DIGITS)
    assert content(encoded) == [all_ids[i] for i in kept]
    end = preprocessor.tokenizer.end_token_id
    assert encoded.tokens[0][0] == encoded.tokens[0][-1] == end
    assert encoded.num_dropped == 16


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_a_review_that_just_fits_loses_nothing(make, truncation):
    preprocessor = make(sequence_length=28, truncation=truncation)
    encoded = preprocessor.encode([DIGITS, DIGITS + "1"])
    assert encoded.tokens.lengths.tolist() == [28, 28]
    assert encoded.num_dropped == 1
    assert content(encoded) == preprocessor.tokenizer.encode_batch([DIGITS])[0]


def test_texts_without_content_are_told_apart_from_exclamation_marks(make):
    encoded = make().encode(["", " <br /> ", "!!!", "\x00"])
    assert encoded.is_empty.tolist() == [True, True, False, True]
    assert encoded.tokens.lengths[:2].tolist() == [2, 2]


def test_literal_end_of_text_never_becomes_the_special_token(make, tokenizer):
    texts = ["a <|endoftext|> b", "<|endoftext|>", "&lt;|endoftext|&gt;"]
    encoded = make().encode(texts)
    for i in range(len(texts)):
        assert content(encoded, i)
        assert tokenizer.end_token_id not in content(encoded, i)


def test_lone_surrogates_and_every_script_encode(make):
    encoded = make().encode(["\ud800 x", "\ufffd x", "中文 😀"])
    np.testing.assert_array_equal(encoded.tokens[0], encoded.tokens[1])
    assert make().tokenizer.detokenize([content(encoded, 2)]) == ["中文 😀"]


def test_non_string_is_an_input_error(make):
    with pytest.raises(InputError, match="3"):
        make().encode(["a", 3])


# --- Calling


def test_call_gives_one_review_per_row_padded_to_sequence_length(make, tokenizer):
    preprocessor = make(sequence_length=16)
    batch = preprocessor(["good", ""])
    end = tokenizer.end_token_id
    ids = tokenizer.encode_batch(["good"])[0]
    first = [end, *ids, end]
    padding = [0] * (16 - len(first))
    np.testing.assert_array_equal(
        batch["token_ids"], [first + padding, [end, end] + [0] * 14]
    )
    np.testing.assert_array_equal(batch["segment_lengths"], [[len(first)], [2]])
    assert batch["token_ids"].dtype == batch["segment_lengths"].dtype == np.int32


def test_call_gives_labels_and_weights_a_slot_axis(make):
    x, y, weight = make(sequence_length=16)(["a", "b"], [1, 0], [0.5, 2.0])
    assert x["token_ids"].shape == (2, 16)
    np.testing.assert_array_equal(y, [[1], [0]])
    np.testing.assert_array_equal(weight, [[0.5], [2.0]])


def test_call_on_one_string_drops_the_batch_axis(make):
    preprocessor = make(sequence_length=16)
    x, y = preprocessor("a", 1)
    batch = preprocessor(["a"])
    np.testing.assert_array_equal(x["token_ids"], batch["token_ids"][0])
    np.testing.assert_array_equal(x["segment_lengths"], batch["segment_lengths"][0])
    np.testing.assert_array_equal(y, [1])


def test_without_sequence_length_rows_have_the_default_length(make):
    batch = make()(["word " * 600])
    assert batch["token_ids"].shape == (1, DEFAULT_SEQUENCE_LENGTH)
    assert batch["segment_lengths"][0, 0] == DEFAULT_SEQUENCE_LENGTH


# --- Construction


def test_any_gpt2_tokenizer_is_rebuilt_as_the_exact_one(vocabulary):
    stock = keras_hub.models.GPT2Tokenizer(*vocabulary)
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(stock)
    assert type(preprocessor.tokenizer) is sentiment.ByteLevelGPT2Tokenizer
    assert preprocessor.tokenizer.vocabulary == vocabulary[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": "middle"}, "head, tail, head_tail.*'middle'"),
        ({"sequence_length": 2}, "at least 3.*2"),
        ({"sequence_length": 0}, "at least 3.*0"),
    ],
)
def test_wrong_settings_are_input_errors(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_smallest_sequence_length_keeps_one_token(make):
    preprocessor = make(sequence_length=3)
    assert preprocessor.encode(["123"]).tokens.lengths.tolist() == [3]


def test_config_holds_every_argument(make):
    options = {"sequence_length": 24, "truncation": "tail", "lowercase": True}
    preprocessor = make(**options, name="reader")
    config = preprocessor.get_config()
    again = sentiment.GPT2TextClassifierPreprocessor.from_config(dict(config))
    assert again.get_config() == preprocessor.get_config()
    assert {name: getattr(again, name) for name in options} == options
    assert again.name == "reader"
    assert type(again.tokenizer) is sentiment.ByteLevelGPT2Tokenizer


# --- Where each token stands in the raw text


def spans_of(preprocessor, text):
    encoded = preprocessor.encode([text], with_spans=True)
    return [tuple(span) for span in encoded.spans.tolist()]


def cut(text, spans):
    return [text[start:end] for start, end in spans]


def test_spans_are_those_of_words_marks_and_digits(make):
    text = "7<br />&lt;8&nbsp;&amp; 9"
    spans = spans_of(make(), text)
    pieces = ["7", "<br />", "&lt;", "8", "&nbsp;", "&amp;", " ", "9"]
    assert cut(text, spans) == ["", *pieces, ""]
    assert spans[0] == (0, 0)
    assert spans[-1] == (len(text), len(text))


def test_the_space_before_a_word_is_not_in_its_span():
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa", END_OF_TEXT]
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(vocabulary, ["Ġ a"])
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(tokenizer)
    text = "b<br> a b"
    spans = spans_of(preprocessor, text)
    assert cut(text, spans) == ["", "b", "a", " ", "b", ""]


def test_tokens_of_one_character_share_its_span(make):
    assert spans_of(make(), "1 😀")[2:-1] == [(1, 2), *[(2, 3)] * 4]
    # The dotted capital is two letters in lower case, of one byte and of two.
    assert spans_of(make(lowercase=True), "İ")[1:-1] == [(0, 1)] * 3


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [
        ("head", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("tail", [18, 19, 20, 21, 22, 23, 24, 25]),
        ("head_tail", [0, 1, 20, 21, 22, 23, 24, 25]),
    ],
)
def test_spans_are_truncated_as_tokens_are(make, truncation, kept):
    raw = "<p>" + DIGITS
    preprocessor = make(sequence_length=10, truncation=truncation)
    spans = spans_of(preprocessor, raw)
    expected = [(3 + i, 4 + i) for i in kept]
    assert spans == [(0, 0), *expected, (len(raw), len(raw))]


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_tokens_are_the_same_with_spans_and_without(make, truncation):
    preprocessor = make(sequence_length=20, truncation=truncation, lowercase=True)
    plain = preprocessor.encode(ODD_TEXTS)
    spanned = preprocessor.encode(ODD_TEXTS, with_spans=True)
    assert plain.spans is None
    assert spanned.num_dropped == plain.num_dropped
    np.testing.assert_array_equal(spanned.tokens.flat, plain.tokens.flat)
    np.testing.assert_array_equal(spanned.tokens.lengths, plain.tokens.lengths)
    assert spanned.spans.shape == (len(plain.tokens.flat), 2)
    assert spanned.spans.dtype == np.int32


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_the_middle_of_a_huge_text_is_not_tokenized(make, truncation, monkeypatch):
    preprocessor = make(truncation=truncation, sequence_length=12)
    words = ["Good", "films,", "3", "them;", "it's", "&", "odd!!", "Größe", "好电影"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 400)) for _ in range(20)]
    whole = preprocessor.encode(texts, with_spans=True)
    lengths = []
    encode = type(preprocessor.tokenizer).encode_batch

    def encode_batch(self, texts):
        lengths.extend(map(len, texts))
        return encode(self, texts)

    monkeypatch.setattr(type(preprocessor.tokenizer), "encode_batch", encode_batch)
    monkeypatch.setattr(module, "_HUGE", 100)
    monkeypatch.setattr(type(preprocessor.tokenizer), "longest_token", 12)
    cut = preprocessor.encode(texts)
    np.testing.assert_array_equal(cut.tokens.flat, whole.tokens.flat)
    assert min(map(len, texts)) > 1500
    assert max(lengths) < 500
    with_spans = preprocessor.encode(texts, with_spans=True)
    np.testing.assert_array_equal(with_spans.tokens.flat, whole.tokens.flat)
    np.testing.assert_array_equal(with_spans.spans, whole.spans)
    # A word without end is cut anywhere.
    (length,) = preprocessor.encode(["x" * 5000]).tokens.lengths
    assert (length, lengths[-1]) == (12, 4 * 12 * 12)


def test_the_longest_token_is_that_of_the_vocabulary(tokenizer):
    assert tokenizer.longest_token == max(len(token) for token in tokenizer.vocabulary)


def test_no_texts_have_no_spans(make):
    assert make().encode([], with_spans=True).spans.shape == (0, 2)


def check_spans(preprocessor, texts):
    """What stands at the spans of tokens that overlap, cleaned, is their text."""
    encoded = preprocessor.encode(texts, with_spans=True)
    assert encoded.num_dropped == 0
    first = 0
    for text, length in zip(texts, encoded.tokens.lengths, strict=True):
        ids = encoded.tokens.flat[first : first + length].tolist()[1:-1]
        spans = encoded.spans[first : first + length].tolist()
        first += length
        assert spans[0] == [0, 0]
        assert spans[-1] == [len(text), len(text)]
        groups = []
        for token, (start, end) in zip(ids, spans[1:-1], strict=True):
            if groups and start < groups[-1][2]:
                assert groups[-1][1] <= start <= end
                groups[-1][0].append(token)
                groups[-1][2] = end
            else:
                groups.append([[token], start, end])
        decoded = preprocessor.tokenizer.decode_batch([group[0] for group in groups])
        for token_text, (_, start, end) in zip(decoded, groups, strict=True):
            again = clean_text(text[start:end], preprocessor.lowercase)
            if preprocessor.lowercase:  # Letters before it decide a sigma's form.
                again, token_text = again.casefold(), token_text.casefold()
            assert again == token_text.strip(" "), (text[:80], start, end)


@pytest.mark.parametrize("lowercase", [False, True])
def test_the_span_of_each_token_of_odd_texts_holds_its_text(make, lowercase):
    check_spans(make(lowercase=lowercase, sequence_length=10**7), ODD_TEXTS)


@given(text=raw_texts())
def test_the_span_of_each_token_holds_its_text(tokenizer, text):
    for lowercase in (False, True):
        preprocessor = sentiment.GPT2TextClassifierPreprocessor(
            tokenizer, lowercase=lowercase
        )
        check_spans(preprocessor, [text])


def test_the_span_of_each_token_of_2000_reviews_holds_its_text(shared_data):
    source = tfds.data_source(
        "imdb_reviews", split="test", data_dir=shared_data / "tfds", download=False
    )
    reviews = [source[i]["text"].decode() for i in range(0, 24_000, 12)]
    folder = shared_data / "gpt2"
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(
        tokenizer, sequence_length=10**7
    )
    check_spans(preprocessor, reviews)

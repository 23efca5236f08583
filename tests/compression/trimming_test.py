import numpy as np
import pytest

import sentiment
from sentiment.compression.trimming import trim_vocabulary
from sentiment.errors import InputError
from sentiment.models.tokenizer_definitions import word_piece_definition
from tests.conftest import TOY_TEXTS

OTHER = ["A zebra!", "quixotic <|endoftext|> jazz", "中文 😀 ünïcode", ""]


@pytest.fixture
def classifier(make_classifier, randomize):
    return randomize(
        make_classifier("last", truncation="head_tail", sequence_length=12)
    )


def tokens_of(classifier, texts):
    tokenizer = classifier.preprocessor.tokenizer
    names = {i: token for token, i in tokenizer.vocabulary.items()}
    return [[names[i] for i in ids] for ids in tokenizer.encode_batch(texts)]


def test_texts_are_split_and_classified_as_before(classifier):
    texts = TOY_TEXTS[:3]
    trimmed = trim_vocabulary(classifier, texts)
    before = classifier.preprocessor.tokenizer.vocabulary_size()
    assert trimmed.preprocessor.tokenizer.vocabulary_size() < before
    assert trimmed.backbone.vocabulary_size < before
    assert tokens_of(trimmed, texts) == tokens_of(classifier, texts)
    np.testing.assert_array_equal(trimmed.predict(texts), classifier.predict(texts))


def test_any_other_text_can_still_be_read(classifier):
    trimmed = trim_vocabulary(classifier, TOY_TEXTS[:1])
    tokenizer = trimmed.preprocessor.tokenizer
    assert tokenizer.decode_batch(tokenizer.encode_batch(OTHER)) == OTHER
    assert np.isfinite(trimmed.predict(OTHER)).all()


def test_what_is_kept_occurs_or_is_needed(classifier):
    texts = TOY_TEXTS[:2]
    tokenizer = trim_vocabulary(classifier, texts).preprocessor.tokenizer
    occurring = {token for ids in tokens_of(classifier, texts) for token in ids}
    made = {merge.replace(" ", "") for merge in tokenizer.merges}
    parts = {part for merge in tokenizer.merges for part in merge.split(" ")}
    single = {token for token in tokenizer.vocabulary if token not in made}
    assert made - occurring <= parts  # nothing longer than is needed
    assert occurring <= tokenizer.vocabulary.keys()
    assert len(single) == 257  # the bytes and <|endoftext|>


def test_rare_tokens_go_on_request(classifier):
    texts = [TOY_TEXTS[0], TOY_TEXTS[0], TOY_TEXTS[1]]

    def vocabulary(min_count):
        trimmed = trim_vocabulary(classifier, texts, min_count)
        assert np.isfinite(trimmed.predict(texts)).all()
        return trimmed.preprocessor.tokenizer.vocabulary.keys()

    assert vocabulary(2) < vocabulary(1)
    assert vocabulary(9) < vocabulary(2)


def test_tokens_beyond_the_truncation_count(classifier):
    # What is cut off is counted in tokens, and so decides what is left.
    long = " ".join(TOY_TEXTS[:6])
    trimmed = trim_vocabulary(classifier, [long])
    np.testing.assert_array_equal(trimmed.predict([long]), classifier.predict([long]))


def test_the_reader_stays_as_it_was(classifier):
    reader = trim_vocabulary(classifier, TOY_TEXTS).preprocessor
    assert (reader.sequence_length, reader.truncation) == (12, "head_tail")


def test_recurrent_models_are_trimmed_too(tokenizer, randomize):
    classifier = randomize(
        sentiment.RNNTextClassifier(
            sentiment.RNNBackbone(tokenizer.vocabulary_size(), 1, 8),
            2,
            sentiment.GPT2TextClassifierPreprocessor(tokenizer),
        )
    )
    texts = TOY_TEXTS[:2]
    trimmed = trim_vocabulary(classifier, texts)
    assert trimmed.backbone.vocabulary_size < classifier.backbone.vocabulary_size
    np.testing.assert_array_equal(trimmed.predict(texts), classifier.predict(texts))


def test_a_vocabulary_of_another_kind_is_refused(make_backbone):
    definition = word_piece_definition(["[UNK]", "[CLS]", "[SEP]", "a"], lowercase=True)
    reader = sentiment.PackedTextClassifierPreprocessor(
        sentiment.FastTokenizer(definition)
    )
    classifier = sentiment.PackedTextClassifier(make_backbone(), 2, reader)
    with pytest.raises(
        InputError, match=r"can be trimmed\. Received: .* FastTokenizer"
    ):
        trim_vocabulary(classifier, TOY_TEXTS)

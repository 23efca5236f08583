import numpy as np
import pytest

from sentiment.config import CorpusConfig
from sentiment.data.corpus import encode_documents, load_corpus, without
from sentiment.data.vocabulary import train_vocabulary
from sentiment.errors import InputError
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer


@pytest.fixture
def write(tmp_path):
    def write(name, lines):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def documents_of(corpus):
    return sorted(corpus.train + corpus.validation)


def test_text_file_has_a_document_a_line(write):
    path = write("a.txt", ["One.", "", "Two, <b>three</b>", "  "])
    corpus = load_corpus(CorpusConfig(text_files=(path,)), seed=0)
    assert documents_of(corpus) == ["One.", "Two, three"]


def test_several_files_of_several_kinds(write):
    paths = (
        write("a.txt", ["One."]),
        write("b.csv", ["review,stars", "Two.,5"]),
        write("c.jsonl", ['{"review": "Three."}']),
    )
    config = CorpusConfig(text_files=paths, text_column="review")
    assert documents_of(load_corpus(config, 0)) == ["One.", "Three.", "Two."]


def test_excluded_and_repeated_texts_are_left_out_and_counted(write):
    text = write("a.txt", ["Keep me", "A TEST<br />text", "keep  me", "Me too", "3"])
    test = write("test.txt", ["a test\ttext", "another"])
    config = CorpusConfig(text_files=(text,), exclude_files=(test,))
    corpus = load_corpus(config, 0)
    assert documents_of(corpus) == ["3", "Keep me", "Me too"]
    assert (corpus.num_excluded, corpus.num_repeated) == (1, 1)


def test_validation_is_a_share_drawn_by_seed(write):
    path = write("a.txt", [f"text {i}" for i in range(100)])
    config = CorpusConfig(text_files=(path,), validation_fraction=0.2)
    parts = [load_corpus(config, seed).validation for seed in (0, 0, 1)]
    assert len(parts[0]) == 20
    assert parts[0] == parts[1] != parts[2]
    corpus = load_corpus(config, 0)
    assert len(documents_of(corpus)) == len(set(documents_of(corpus))) == 100


def test_max_documents_and_lowercase(write):
    path = write("a.txt", [f"TEXT {i}" for i in range(100)])
    config = CorpusConfig(text_files=(path,), max_documents=10)
    documents = documents_of(load_corpus(config, 0, lowercase=True))
    assert len(documents) == 10
    assert all(text.startswith("text ") for text in documents)


def test_the_documents_that_count_are_drawn_from_all_by_seed(write):
    path = write("a.txt", [f"text {i}" for i in range(100)])
    config = CorpusConfig(text_files=(path,), max_documents=10)
    drawn = [set(documents_of(load_corpus(config, seed))) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    first = {f"text {i}" for i in range(10)}
    assert all(len(documents - first) > 5 for documents in drawn)
    everything = CorpusConfig(text_files=(path,), max_documents=1000)
    assert len(documents_of(load_corpus(everything, 0))) == 100


def test_empty_texts_count_as_repeated_and_excluded_ones_as_excluded():
    texts = ["", "a", "<br />", "A", "b", "b"]
    assert without(texts, ["B"]) == (["a"], 2, 3)
    assert without(texts, [""]) == (["a", "b"], 2, 2)


@pytest.mark.parametrize(
    "fraction, count", [(0.01, 1), (0.1, 1), (0.34, 1), (0.5, 2), (0.9, 2)]
)
def test_both_parts_have_a_document(write, fraction, count):
    path = write("a.txt", ["one", "two", "three"])
    config = CorpusConfig(text_files=(path,), validation_fraction=fraction)
    corpus = load_corpus(config, 0)
    assert (len(corpus.validation), len(corpus.train)) == (count, 3 - count)


def test_bad_rows_of_all_files_are_counted(write):
    config = CorpusConfig(
        text_files=(
            write("a.csv", ["text", "One.", '"a",b', "Two.", '"c",d']),
            write("b.csv", ["text", "Three.", '"e",f']),
        ),
        exclude_files=(write("c.csv", ["text", '"g",h', "One."]),),
        skip_bad_rows=True,
    )
    corpus = load_corpus(config, 0)
    assert documents_of(corpus) == ["Three.", "Two."]
    assert (corpus.num_skipped_rows, corpus.num_excluded) == (4, 1)


def test_bad_rows_are_named_by_line_or_skipped(write):
    path = write("b.csv", ["text", "One.", '"a",b', "Two."])
    with pytest.raises(InputError, match="line 3: 2 fields instead of 1"):
        load_corpus(CorpusConfig(text_files=(path,)), 0)
    config = CorpusConfig(text_files=(path,), skip_bad_rows=True)
    corpus = load_corpus(config, 0)
    assert documents_of(corpus) == ["One.", "Two."]
    assert corpus.num_skipped_rows == 1


def test_too_little_text_says_where_it_went(write):
    path = write("a.txt", ["One.", "one."])
    with pytest.raises(InputError, match=r"0 are excluded, 1 repeat"):
        load_corpus(CorpusConfig(text_files=(path,)), 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either --dataset or --text_files"),
        ({"dataset": "a", "text_files": ("b",)}, "either --dataset or --text_files"),
        ({"dataset": "a", "splits": ()}, "--splits must name"),
        ({"dataset": "a", "splits": ("test",)}, "both name 'test'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        CorpusConfig(**settings)


@pytest.mark.parametrize("row_length", [2, 3, 7, 100])
def test_every_token_is_predicted_exactly_once(tokenizer, row_length):
    documents = ["A great film, a great plot.", "!", "Boring, bad acting."]
    encoded = encode_documents(tokenizer, documents, row_length)
    end = tokenizer.end_token_id
    wanted = [[*ids, end] for ids in tokenizer.encode_batch(documents)]
    tokens = encoded.tokens
    targets = [tokens[i][1:] for i in range(len(tokens))]
    assert np.concatenate(targets).tolist() == np.concatenate(wanted).tolist()
    assert encoded.num_targets == sum(map(len, wanted))
    assert encoded.tokens.lengths.max() <= row_length
    assert encoded.tokens.lengths.min() >= 2


def test_bytes_are_those_of_utf8(tokenizer):
    assert encode_documents(tokenizer, ["é", "ab"], 8).num_bytes == 4


def test_tokens_come_from_the_cache(tokenizer, tmp_path, monkeypatch):
    first = encode_documents(tokenizer, ["A great film."], 8, str(tmp_path))

    def never(*_):
        raise AssertionError("tokenized again")

    monkeypatch.setattr(type(tokenizer), "encode_batch", never)
    again = encode_documents(tokenizer, ["A great film."], 8, str(tmp_path))
    np.testing.assert_array_equal(again.tokens.flat, first.tokens.flat)
    for other in ((tokenizer, ["Other."], 8), (tokenizer, ["A great film."], 4)):
        with pytest.raises(AssertionError, match="tokenized again"):
            encode_documents(*other, str(tmp_path))


def test_other_tokens_than_in_the_cache_are_made_for_another_tokenizer(
    tokenizer, tmp_path
):
    other = ByteLevelGPT2Tokenizer(*train_vocabulary(["great film"] * 9, 262))
    for one in (tokenizer, other, tokenizer):
        found = encode_documents(one, ["A great film."], 100, str(tmp_path)).tokens
        expected = encode_documents(one, ["A great film."], 100).tokens
        np.testing.assert_array_equal(found.flat, expected.flat)


def test_no_test_text_of_imdb_is_learnt_from(shared_data):
    from sentiment.data.tfds_source import read_tfds_texts

    folder = str(shared_data / "tfds")
    config = CorpusConfig(
        dataset="imdb_reviews", tfds_data_dir=folder, splits=("train", "unsupervised")
    )
    corpus = load_corpus(config, 0)
    assert corpus.num_excluded >= 270 + 123
    learnt = {" ".join(text.casefold().split()) for text in documents_of(corpus)}
    from sentiment.data.cleaning import clean_text

    test = read_tfds_texts("imdb_reviews", folder, ("test",))["test"]
    assert not learnt & {
        " ".join(clean_text(text, lowercase=True).casefold().split()) for text in test
    }


def test_unknown_split_is_named(shared_data):
    config = CorpusConfig(
        dataset="imdb_reviews",
        tfds_data_dir=str(shared_data / "tfds"),
        splits=("training",),
    )
    with pytest.raises(InputError, match=r"no split 'training'. It has: .*unsuperv"):
        load_corpus(config, 0)

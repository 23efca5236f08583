import json

import pytest
from tokenizers import pre_tokenizers

import sentiment
from sentiment.data.vocabulary import (
    END_OF_TEXT,
    MIN_VOCABULARY_SIZE,
    read_vocabulary,
    train_vocabulary,
)
from sentiment.errors import InputError

TEXTS = ["low lower lowest", "new newer newest", "wide wider widest", "中文 😀"] * 3


def test_training_twice_on_one_corpus_gives_one_vocabulary():
    assert train_vocabulary(TEXTS, 300) == train_vocabulary(iter(TEXTS), 300)


def test_end_of_text_is_token_0_and_the_256_bytes_follow():
    vocabulary, _ = train_vocabulary(TEXTS, 300)
    by_id = sorted(vocabulary, key=vocabulary.get)
    assert by_id[0] == END_OF_TEXT
    assert by_id[1:257] == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_merges_replay_the_vocabulary_in_order():
    vocabulary, merges = train_vocabulary(TEXTS, 300)
    known = {token for token, i in vocabulary.items() if i < MIN_VOCABULARY_SIZE}
    for i, merge in enumerate(merges):
        left, right = merge.split(" ")
        assert {left, right} <= known
        assert vocabulary[left + right] == MIN_VOCABULARY_SIZE + i
        known.add(left + right)
    assert known == set(vocabulary)


def test_the_first_merge_is_the_most_frequent_pair():
    _, merges = train_vocabulary(["abab ab abab ba"], 300)
    assert merges[0] == "a b"


def test_size_is_reached_exactly_or_less_on_a_small_corpus():
    assert len(train_vocabulary(TEXTS, 280)[0]) == 280
    assert len(train_vocabulary(["ab"], 5000)[0]) == 258  # "ab" is all there is
    assert len(train_vocabulary([], 5000)[0]) == 257


def test_257_tokens_are_the_bytes_alone():
    vocabulary, merges = train_vocabulary(TEXTS, 257)
    assert (len(vocabulary), merges) == (257, [])


def test_fewer_than_257_tokens_are_an_input_error():
    with pytest.raises(InputError, match=r"257.*Received: 256"):
        train_vocabulary(TEXTS, 256)


def test_trained_tokens_spell_any_text():
    tokenizer = sentiment.ByteLevelGPT2Tokenizer(*train_vocabulary(TEXTS, 300))
    unseen = "Ünseen <|endoftext|> words, 未见\n\n 🙂!"
    assert tokenizer.detokenize(tokenizer.encode_batch([unseen])[0]) == unseen


# --- Reading


@pytest.fixture
def folder(tmp_path):
    vocabulary, merges = train_vocabulary(TEXTS, 300)
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *merges, ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_read_gives_what_was_written_without_the_version_line(folder):
    assert read_vocabulary(folder) == train_vocabulary(TEXTS, 300)
    assert read_vocabulary(str(folder)) == train_vocabulary(TEXTS, 300)


def test_windows_line_ends_do_not_matter(folder):
    path = folder / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_vocabulary(folder) == train_vocabulary(TEXTS, 300)


def test_a_merge_of_a_hash_sign_is_kept(tmp_path):
    vocabulary, merges = train_vocabulary(["####"] * 3, 300)
    assert merges[0] == "# #"
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("\n".join(merges))
    assert read_vocabulary(tmp_path) == (vocabulary, merges)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"has no {name}\\. ") as error:
        read_vocabulary(folder)
    assert str(folder) in str(error.value)


def test_a_missing_folder_misses_both_files(tmp_path):
    with pytest.raises(InputError, match=r"no vocab\.json and no merges\.txt"):
        read_vocabulary(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", b"{broken"),
        ("vocab.json", b""),
        ("vocab.json", b'{"\xff": 0}'),
        ("vocab.json", b"3"),
        ("vocab.json", b'["<|endoftext|>"]'),
        ("merges.txt", b"\xff\xfe"),
    ],
)
def test_an_unreadable_file_is_an_input_error(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match="unreadable"):
        read_vocabulary(folder)


def test_a_vocabulary_without_end_of_text_is_an_input_error(folder):
    (folder / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(InputError, match=r"no token <\|endoftext\|>"):
        read_vocabulary(folder)


@pytest.mark.parametrize("line", ["abc", "a b c", "zz yy", "中 文"])
def test_a_merge_that_the_vocabulary_lacks_is_an_input_error(folder, line):
    with open(folder / "merges.txt", "a", encoding="utf-8") as file:
        file.write(line)
    with pytest.raises(InputError, match=f"merges '{line}'"):
        read_vocabulary(folder)


@pytest.mark.parametrize("token_id", [5000, 1, -1, "1", None, [1], 260.0])
def test_ids_with_gaps_or_repeats_are_an_input_error(folder, token_id):
    path = folder / "vocab.json"
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    vocabulary["lo"] = token_id
    path.write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(InputError, match=f"0 to {len(vocabulary) - 1}, each once"):
        read_vocabulary(folder)


def test_gpt2_files_have_their_published_size(shared_data):
    vocabulary, merges = read_vocabulary(shared_data / "gpt2")
    assert (len(vocabulary), len(merges)) == (50257, 50000)
    assert vocabulary[END_OF_TEXT] == 50256
    assert merges[0] == "Ġ t"

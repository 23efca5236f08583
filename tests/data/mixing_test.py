from sentiment.data.mixing import MAX_PIECES, MAX_WORDS, mix_texts

TEXTS = ["a b c d e f g h", "<b>k</b> l<br /><br />m", "", "z"]
PHRASES = [text.split() for text in ("a b c d e f g h", "k l m", "z")]


def cut(words):
    """Words that go on as in a text of `TEXTS`, together."""
    pieces = [[words[0]]]
    for word in words[1:]:
        is_next = any(
            [pieces[-1][-1], word] == phrase[i : i + 2]
            for phrase in PHRASES
            for i in range(len(phrase) - 1)
        )
        if is_next:
            pieces[-1].append(word)
        else:
            pieces.append([word])
    return pieces


def test_texts_are_made_of_phrases_of_others():
    texts = mix_texts(TEXTS, 300, seed=0)
    assert len(texts) == 300
    words = {word for text in texts for word in text.split()}
    assert words == {word for phrase in PHRASES for word in phrase}
    pieces = [cut(text.split()) for text in texts]
    assert max(len(p) for p in pieces) == MAX_PIECES
    assert max(len(text.split()) for text in texts) <= MAX_PIECES * MAX_WORDS
    longest = max(len(piece) for found in pieces for piece in found)
    assert longest >= MAX_WORDS
    assert sum(len(found) > 1 for found in pieces) > 250


def test_the_seed_decides():
    assert mix_texts(TEXTS, 20, seed=1) == mix_texts(TEXTS, 20, seed=1)
    assert mix_texts(TEXTS, 20, seed=1) != mix_texts(TEXTS, 20, seed=2)


def test_nothing_comes_of_nothing():
    assert mix_texts(["", "<br />"], 5, seed=0) == []
    assert mix_texts(TEXTS, 0, seed=0) == []

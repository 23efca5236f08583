from collections import Counter

import pytest

from sentiment.data.mixing import mix_texts

NUM_SOURCES, LENGTH = 50, 40
SOURCES = [" ".join(f"t{i}w{j}" for j in range(LENGTH)) for i in range(NUM_SOURCES)]


def pieces(text):
    """`(source, positions)` of each piece; two that happen to fit look like one."""
    found = []
    for word in text.split():
        source, position = map(int, word[1:].split("w"))
        if found and found[-1][0] == source and found[-1][1][-1] + 1 == position:
            found[-1][1].append(position)
        else:
            found.append((source, [position]))
    return found


@pytest.fixture(scope="module")
def mixed():
    return [pieces(text) for text in mix_texts(SOURCES, 3000, seed=0)]


def test_texts_have_two_to_six_pieces_of_one_to_six_words(mixed):
    assert len(mixed) == 3000
    counts = Counter(map(len, mixed))
    # Equally often; 3 of 3,000 or so are joined by chance.
    assert all(counts[n] == pytest.approx(600, abs=100) for n in range(2, 7))
    lengths = Counter(len(positions) for text in mixed for _, positions in text)
    total = lengths.total()
    assert all(lengths[n] == pytest.approx(total / 6, rel=0.1) for n in range(1, 7))
    assert sum(lengths[n] for n in range(1, 7)) > 0.99 * total


def test_pieces_come_from_everywhere(mixed):
    sources = Counter(source for text in mixed for source, _ in text)
    assert set(sources) == set(range(NUM_SOURCES))
    assert max(sources.values()) < 2 * min(sources.values())
    several = sum(len({source for source, _ in text}) > 1 for text in mixed)
    assert several > 0.95 * len(mixed)
    starts = Counter(positions[0] for text in mixed for _, positions in text)
    ends = {positions[-1] for text in mixed for _, positions in text}
    assert set(starts) == set(range(LENGTH))
    assert LENGTH - 1 in ends


def test_sources_are_cleaned_first():
    (text,) = mix_texts(["<b>A</b> &amp;<br />C"], 1, seed=0)
    assert set(text.split()) <= {"A", "&", "C"}


def test_short_sources_give_what_they_have():
    assert set(" ".join(mix_texts(["a", "b c"], 50, seed=0)).split()) == set("abc")


def test_the_seed_decides():
    assert mix_texts(SOURCES, 20, seed=1) == mix_texts(SOURCES, 20, seed=1)
    assert mix_texts(SOURCES, 20, seed=1) != mix_texts(SOURCES, 20, seed=2)


def test_nothing_comes_of_nothing():
    assert mix_texts(["", "<br />"], 5, seed=0) == []
    assert mix_texts(SOURCES, 0, seed=0) == []

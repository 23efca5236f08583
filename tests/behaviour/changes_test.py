import random
import re

import pytest

from sentiment.behaviour.changes import CHANGES, link, punctuation, typo, upper

TEXT = "The concert was wonderful, and I would come back."


def drawn(change, text=TEXT):
    return {change(text, random.Random(seed)) for seed in range(50)}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_drawn_by_seed_and_changes_something(change):
    first, again = (change(TEXT, random.Random(3)) for _ in range(2))
    assert first == again
    assert TEXT not in drawn(change)


def test_a_typo_swaps_two_letters_inside_a_long_word():
    for text in drawn(typo):
        words = list(zip(text.split(), TEXT.split(), strict=True))
        ((found, word),) = [pair for pair in words if pair[0] != pair[1]]
        assert sorted(found) == sorted(word)
        assert (found[0], found[-1]) == (word[0], word[-1])
    assert drawn(typo, "No word is long.") == {"No word is long."}
    assert drawn(typo, "aaaaaaa") == {"aaaaaaa"}


def test_other_changes_leave_the_words():
    def letters(text):
        return re.findall("[a-z]+", text.lower())

    assert drawn(upper) == {TEXT.upper()}
    assert all(letters(text) == letters(TEXT) for text in drawn(punctuation))
    assert all(text.startswith(TEXT + " ") for text in drawn(link))
    assert len(drawn(punctuation)) == 2
    assert all(text.endswith(TEXT) for text in drawn(CHANGES["filler"]))

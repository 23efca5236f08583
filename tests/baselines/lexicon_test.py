import pytest

from sentiment.baselines.lexicon import read_lexicon, tone_scores


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("A great film.", 2),
        ("not great", -0.74 * 2),
        ("It isn’t a great film", -0.74 * 2),  # noqa: RUF001
        ("very great", 1.3 * 2),
        ("not very great", -0.74 * 1.3 * 2),
        ("not a bad one", 0.74 * 2),
        # Four words back reach nothing.
        ("not one word of great", 2),
        ("great. Not", 2),
        ("great but boring", 0.5 * 2 - 1.5 * 2),
        ("GREAT", 2),
        ("It came :)", 2),
        ("It came. :-( <3", 0),
        ("😍 It came 👎👎", 2 - 4),
        ("not :(", -2),  # A sign means what it shows.
        ("great :D", 4),
        ("see http://a.org or a:D, x:)y", 0),
        ("table chair", 0),
        ("", 0),
    ],
)
def test_by_hand(text, total):
    assert tone_scores(text)[0] == pytest.approx(total)


def test_mean_is_over_known_words():
    assert tone_scores("great great the film boring")[1] == pytest.approx(2 / 3)


def test_lexicon_is_of_both_tones_and_lowercase():
    tones = read_lexicon()["tone"]
    assert all(word == word.lower() and -3 <= tone <= 3 for word, tone in tones.items())
    assert sum(t > 0 for t in tones.values()) > 200
    assert sum(t < 0 for t in tones.values()) > 200
    assert not tones.keys() & read_lexicon()["negation"].keys()

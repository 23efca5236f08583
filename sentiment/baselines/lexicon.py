"""A rule-based scorer: words of known tone, negation, intensifiers."""

import re
from functools import cache
from pathlib import Path

LEXICON_FILE = Path(__file__).parent / "lexicon.tsv"

# Words up to this far before another one negate or strengthen it.
REACH = 3
# What "but" leaves of what stands before it in the sentence, and makes of the rest.
BEFORE_BUT, AFTER_BUT = 0.5, 1.5
_APOSTROPHES = str.maketrans("", "", "'\u2019")
_WORD = re.compile("[a-z]+(?:[-'\u2019][a-z]+)*")
_SENTENCE = re.compile(r"[.!?\n]+")


@cache
def read_lexicon() -> dict[str, dict[str, float]]:
    """What words do, by kind.

    Returns:
        `tone`: words and their tone, from -3 to 3; `sign`: emoticons and emoji and
        theirs, which nothing turns or strengthens; `negation` and `intensifier`:
        words and the factor on the tone of what follows them. A negation turns the
        sign and takes some of the tone (0.74 is left, as in VADER, Hutto & Gilbert
        2014): "not great" is not as bad as "terrible".
    """
    lexicon = {}
    for line in LEXICON_FILE.read_text(encoding="utf-8").splitlines():
        word, kind, value = line.split("\t")
        lexicon.setdefault(kind, {})[word] = float(value)
    return lexicon


def tone_scores(text: str) -> tuple[float, float]:
    """The sum of the tones of a text's words and signs, and their mean.

    Example: "great" is 2, "not great" -0.74 * 2, "very great" 1.3 * 2.
    >>> tone_scores("A great film.")
    (2.0, 2.0)

    Returns:
        `(total, mean)`, both 0 where no word is known.
    """
    tones = [
        tone for sentence in _SENTENCE.split(text.lower()) for tone in _tones(sentence)
    ]
    signs = read_lexicon()["sign"]
    tones += [signs[sign] for sign in _sign_pattern().findall(text)]
    total = float(sum(tones))
    return total, total / max(len(tones), 1)


@cache
def _sign_pattern() -> re.Pattern:
    """Finds emoticons, where they are no part of a word or a link, and emoji."""
    signs = sorted(read_lexicon()["sign"], key=len, reverse=True)
    emoticons = "|".join(re.escape(sign) for sign in signs if sign.isascii())
    emoji = "|".join(re.escape(sign) for sign in signs if not sign.isascii())
    return re.compile(rf"(?<![\w:;=])(?:{emoticons})(?![\w/])|{emoji}")


def _tones(sentence: str) -> list[float]:
    lexicon = read_lexicon()
    factors = lexicon["negation"] | lexicon["intensifier"]
    words = [word.translate(_APOSTROPHES) for word in _WORD.findall(sentence)]
    turn = len(words) - 1 - words[::-1].index("but") if "but" in words else None
    tones = []
    for i, word in enumerate(words):
        if word not in lexicon["tone"]:
            continue
        tone = lexicon["tone"][word]
        for before in words[max(0, i - REACH) : i]:
            tone *= factors.get(before, 1.0)
        if turn is not None:
            tone *= BEFORE_BUT if i < turn else AFTER_BUT
        tones.append(tone)
    return tones

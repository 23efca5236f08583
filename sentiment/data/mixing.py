"""Texts made of pieces of others, for a teacher to label."""

from collections.abc import Sequence

import numpy as np

from sentiment.data.cleaning import clean_text

MAX_PIECES = 6
MAX_WORDS = 6  # in a piece


def mix_texts(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Makes texts of two to six pieces, each one to six words in a row.

    Such a text makes no sense as a whole, but its phrases do, and the teacher's label
    tells what it has learnt about them. Many such labels pass on more than the few
    training texts themselves (n-gram sampling as in Tang et al. 2019,
    https://arxiv.org/abs/1903.12136, but over several texts).

    Args:
        texts: where pieces come from, cleaned here.
        count: texts to make.
        seed: of what is drawn.

    Returns:
        `count` texts; fewer, where `texts` have no words.
    """
    rng = np.random.default_rng(seed)
    words = [cleaned for text in texts if (cleaned := clean_text(text).split())]
    if not words:
        return []
    return [
        " ".join(
            word
            for _ in range(rng.integers(2, MAX_PIECES + 1))
            for word in _piece(words[rng.integers(len(words))], rng)
        )
        for _ in range(count)
    ]


def _piece(words: list[str], rng: np.random.Generator) -> list[str]:
    length = min(rng.integers(1, MAX_WORDS + 1), len(words))
    start = rng.integers(len(words) - length + 1)
    return words[start : start + length]

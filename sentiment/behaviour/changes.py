"""Changes of a text that change nothing of what it says."""

import random
import string

_FILLERS = ("Well, here it goes. ", "I was asked to write this. ", "Today's note: ")
_LINKS = (" https://example.com/p/1", " @someone", " (see www.example.org)")


def typo(text: str, draw: random.Random) -> str:
    """Two letters inside a long word change places."""
    words = text.split(" ")
    places = [
        (i, k)
        for i, word in enumerate(words)
        if len(word.strip(".,!?")) >= 6
        for k in range(1, len(word) - 2)
        if word[k : k + 3].isalpha()
        if word[k] != word[k + 1]
    ]
    if not places:
        return text
    i, k = draw.choice(places)
    word = words[i]
    words[i] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return " ".join(words)


def upper(text: str, draw: random.Random) -> str:
    """All in capitals."""
    return text.upper()


def punctuation(text: str, draw: random.Random) -> str:
    """Without full stops and commas, or with more of the last sign."""
    if draw.random() < 0.5:
        return text + text[-1] * 2 if text[-1] in string.punctuation else text + "."
    return "".join(c for c in text if c not in ".,;:!?")


def link(text: str, draw: random.Random) -> str:
    """With an address or a handle at its end."""
    return text + draw.choice(_LINKS)


def filler(text: str, draw: random.Random) -> str:
    """With words before it that say nothing."""
    return draw.choice(_FILLERS) + text


CHANGES = {f.__name__: f for f in (typo, upper, punctuation, link, filler)}

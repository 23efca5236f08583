"""Text cleaning, the same in training, evaluation and prediction."""

import html
import re
from dataclasses import dataclass
from html.entities import html5

import numpy as np

from sentiment.errors import InputError

# Letters of Chinese and Japanese, which have no spaces between words.
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"

# A tag opens with a letter, "/" and a letter, or "!", so that "<3", "</3", "a < b"
# and "<|endoftext|>" stay. Excluding "<" keeps the match linear in the text.
_TAG = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]*>")
# Only entities closed by ";", and only whole names: html.unescape alone reads
# "AT&region" and "AT&region;" as "AT®ion".
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# The last character of a URL is no punctuation: "(see www.a.org)!" keeps ")!".
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"]*[^\s<>\".,!?;:)\]}']", re.IGNORECASE)
_REPLACEMENT = "\ufffd"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(
    "[{}]".format(
        "".join(
            re.escape(chr(code))
            for code in (*range(0x20), *range(0x7F, 0xA0), 0xFEFF)
            if not chr(code).isspace()
        )
    )
)
# White space that is not one plain space already.
_WHITE_SPACE = re.compile(r"\s{2,}|[^\S ]")


def _character(match: re.Match) -> str:
    entity = match.group()
    if entity[1] == "#":
        return html.unescape(entity)
    return html5.get(entity[1:], entity)


def _is_unprintable(text: str) -> bool:
    return not text.isprintable()


# In this order: what is replaced, by what, and a quick look whether it may occur.
_STEPS = (
    (_TAG, " ", lambda text: "<" in text),
    (_ENTITY, _character, lambda text: "&" in text),
    (_URL, " ", lambda text: "://" in text or "www." in text.lower()),
    (_SURROGATE, _REPLACEMENT, _is_unprintable),
    (_CONTROL, "", _is_unprintable),
    (_WHITE_SPACE, " ", None),
)


def clean_text(text: str, lowercase: bool = False) -> str:
    """Strips markup and noise from one text; words of every language survive.

    In this order: HTML tags become a space, entities their characters, URLs a
    space, lone surrogates U+FFFD; control characters go; runs of white space
    become one space and the ends are trimmed.

    Example:
    >>> clean_text("Great<br />film &amp; cast <3  (www.example.org)")
    'Great film & cast <3 ( )'

    Args:
        text: any Python string, also empty.
        lowercase: whether to lowercase the result. Off for pretrained GPT-2,
            whose vocabulary is cased.

    Returns:
        The cleaned text, possibly empty.

    Raises:
        InputError: `text` is not a string.
    """
    _check_is_text(text)
    for pattern, replacement, may_occur in _STEPS:
        if may_occur is None or may_occur(text):
            text = pattern.sub(replacement, text)
    text = text.strip()
    return text.lower() if lowercase else text


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no tokenizer reads.

    Raises:
        InputError: `text` is not a string.
    """
    _check_is_text(text)
    return _SURROGATE.sub(_REPLACEMENT, text) if _is_unprintable(text) else text


@dataclass(frozen=True, eq=False)
class CleanedText:
    """A cleaned text whose characters know where they come from.

    Attributes:
        text: as of `clean_text`.
        spans: int32 (len(text), 2), start and end of each character in the raw text,
            in characters, the end exclusive. What one character was made of is its
            span: an entity, a URL, a run of tags and spaces. The characters of an
            entity that has two of them, and of a letter that has two in lower case,
            have the same span. No span begins or ends before the one before it.
    """

    text: str
    spans: np.ndarray


def clean_with_spans(text: str, lowercase: bool = False) -> CleanedText:
    """Does what `clean_text` does, and says where each character comes from.

    Example:
    >>> cleaned = clean_with_spans("A<br />&lt;3")
    >>> cleaned.text, cleaned.spans.tolist()
    ('A <3', [[0, 1], [1, 7], [7, 11], [11, 12]])

    Args:
        text: any Python string.
        lowercase: whether to lowercase the result.

    Raises:
        InputError: `text` is not a string.
    """
    _check_is_text(text)
    starts = np.arange(len(text), dtype=np.int32)
    spans = np.stack([starts, starts + 1], axis=1)
    for pattern, replacement, may_occur in _STEPS:
        if may_occur is None or may_occur(text):
            text, spans = _replace(pattern, replacement, text, spans)
    first = len(text) - len(text.lstrip())
    text = text.strip()
    spans = spans[first : first + len(text)]
    if lowercase:
        # What a letter becomes may depend on its neighbours, but not how many letters.
        spans = np.repeat(spans, [len(letter.lower()) for letter in text], axis=0)
        text = text.lower()
    return CleanedText(text, spans)


def _replace(pattern, replacement, text, spans) -> tuple[str, np.ndarray]:
    """`pattern.sub(replacement, text)`, and the spans of what it gives."""
    texts, parts, done = [], [spans[:0]], 0
    for match in pattern.finditer(text):
        first, last = match.span()
        new = replacement(match) if callable(replacement) else replacement
        whole = [[spans[first, 0], spans[last - 1, 1]]]
        texts += [text[done:first], new]
        parts += [spans[done:first], np.repeat(np.int32(whole), len(new), axis=0)]
        done = last
    return "".join([*texts, text[done:]]), np.concatenate([*parts, spans[done:]])


def _check_is_text(text):
    if not isinstance(text, str):
        raise InputError(
            f"A text must be a string. Received: {text!r} of type "
            f"{type(text).__name__}."
        )


def comparison_key(text: str) -> str:
    """Equal for texts that differ in markup, case and spacing alone."""
    return clean_text(text).casefold()

"""Text cleaning, the same in training, evaluation and prediction."""

import html
import re
from html.entities import html5

from sentiment.errors import InputError

# A tag opens with a letter, "/" and a letter, or "!", so that "<3", "</3", "a < b"
# and "<|endoftext|>" stay. Excluding "<" keeps the match linear in the text.
_TAG = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]*>")
# Only entities closed by ";", and only whole names: html.unescape alone reads
# "AT&region" and "AT&region;" as "AT®ion".
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# The last character of a URL is no punctuation: "(see www.a.org)!" keeps ")!".
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"]*[^\s<>\".,!?;:)\]}']", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = {
    code: None
    for code in (*range(0x20), *range(0x7F, 0xA0), 0xFEFF)
    if not chr(code).isspace()
}


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
    if not isinstance(text, str):
        raise InputError(
            f"A text must be a string. Received: {text!r} of type "
            f"{type(text).__name__}."
        )
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(_character, text)
    if "://" in text or "www." in text.lower():
        text = _URL.sub(" ", text)
    text = _SURROGATE.sub("\ufffd", text).translate(_CONTROL)
    text = " ".join(text.split())
    return text.lower() if lowercase else text


def comparison_key(text: str) -> str:
    """Equal for texts that differ in markup, case and spacing alone."""
    return clean_text(text).casefold()


def _character(match: re.Match) -> str:
    entity = match.group()
    if entity[1] == "#":
        return html.unescape(entity)
    return html5.get(entity[1:], entity)

"""Where the sentences of a text begin and end."""

import sentencex

from sentiment.data.cleaning import without_surrogates

# sentencex 1.0 fails on some of the white space that is not ASCII. Each character here
# takes the place of one, so offsets stay.
_PLAIN_SPACES = {
    code: " " for code in range(0x10000) if chr(code).isspace() and chr(code) != "\n"
}
# Characters at once: in Chinese, sentencex takes time as their square.
_WINDOW = 10_000


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in characters, the end exclusive.

    Full stops of abbreviations, decimals and initials end no sentence; Chinese marks
    do, and so does an empty line. White space around sentences is in none of them.
    (sentencex, with its rules for English, which know the marks of other languages.)

    Example:
    >>> text = "It cost $3.50. Mr. Ash loved it!"
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['It cost $3.50.', 'Mr. Ash loved it!']

    Args:
        text: any Python string.

    Raises:
        InputError: `text` is not a string.
    """
    plain = without_surrogates(text).translate(_PLAIN_SPACES)
    spans, start, size = [], 0, _WINDOW
    while start < len(plain):
        window = plain[start : start + size]
        found = sentencex.get_sentence_boundaries("en", window)
        if start + size < len(plain):
            # The last one may go on beyond the window, so it begins the next.
            if len(found) == 1:
                size *= 2
                continue
            found.pop()
        for sentence in found:
            piece = sentence["text"]
            first = start + sentence["start_index"] + len(piece) - len(piece.lstrip())
            last = start + sentence["start_index"] + len(piece.rstrip())
            if first < last:
                spans.append((first, last))
        start, size = start + found[-1]["end_index"], _WINDOW
    return spans


def sentences(text: str) -> list[str]:
    """The sentences of a text, see `sentence_spans`."""
    return [text[start:end] for start, end in sentence_spans(text)]

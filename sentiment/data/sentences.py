"""Where the sentences of a text begin and end."""

import sentencex

from sentiment.data.cleaning import without_surrogates

# sentencex 1.0 fails on some of the white space that is not ASCII. Each character here
# takes the place of one, so offsets stay.
_PLAIN_SPACES = {
    code: " " for code in range(0x10000) if chr(code).isspace() and chr(code) != "\n"
}


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
    spans = []
    for found in sentencex.get_sentence_boundaries("en", plain):
        piece = found["text"]
        start = found["start_index"] + len(piece) - len(piece.lstrip())
        end = found["start_index"] + len(piece.rstrip())
        if start < end:
            spans.append((start, end))
    return spans


def sentences(text: str) -> list[str]:
    """The sentences of a text, see `sentence_spans`."""
    return [text[start:end] for start, end in sentence_spans(text)]

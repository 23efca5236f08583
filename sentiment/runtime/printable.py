"""Texts of others, as a terminal may be given them."""

import re

# Also what turns the direction of writing around, and so hides what is there.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""A text as a terminal may be given it: control characters, as of colours, shown.

    >>> printable("a\x1b[31mb\nc")
    'a\\x1b[31mb\nc'
    """
    return _CONTROL.sub(
        lambda match: match.group().encode("unicode_escape").decode(), text
    )

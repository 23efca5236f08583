"""Names as they are compared: of columns, of classes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from sentiment.errors import InputError

# Characters that look like nothing and make two names of one: those without width, and
# control characters, which a terminal would obey.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u2060\ufeff]"
)
_WORDS = 4  # of a column's name, at most
_SHOWN = 60  # characters of a name; in a file without a header it may be a text


def tidy_name(name: object) -> str:
    """A name without what cannot be seen: NFC, no blank ends."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", str(name))).strip()


def listed(names: Sequence[str]) -> str:
    """Names for a message, long ones cut."""
    return ", ".join(
        repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…") for name in names
    )


def distinct(header: Sequence[str]) -> list[str]:
    """Keys for columns that may have the same name: the second gets ".1", and so on.

    >>> distinct(["a", "", "a", ""])
    ['a', '', 'a.1', '.1']
    """
    names, used, numbers, keys = set(header), set(), Counter(), []
    for name in header:
        key = name
        while key in used or (numbers[name] and key in names):
            numbers[name] += 1
            key = f"{name}.{numbers[name]}"
        used.add(key)
        keys.append(key)
    return keys


def find_column(
    path: object, header: Sequence[str], name: str, may_be_a_row: bool = False
) -> int:
    """Where a column stands: the one of exactly this name, or but for blank ends.

    Args:
        path: of the table, for messages.
        header: names as they stand in the file.
        name: the one that is wanted.
        may_be_a_row: whether the header is the first line of a file that may have none.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [i for i, other in enumerate(header) if other == name]
    if not found:
        found = [
            i for i, other in enumerate(header) if tidy_name(other) == tidy_name(name)
        ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} has several columns named {name!r}.")
    message = f"{path} has no column {name!r}."
    if not may_be_a_row:
        raise InputError(f"{message} It has: {listed(header)}.")
    if looks_like_a_row(header):
        first = ", ".join(header)
        message += (
            " Its first line looks like a row and not like a header: "
            f"{first[:_SHOWN]!r}..."
        )
    else:
        message += f" It has: {listed(header)}."
    raise InputError(
        f"{message} If the header is missing, name the {len(header)} columns, for "
        f"example --columns={_example(header, name)}"
    )


def looks_like_a_row(header: Sequence[str]) -> bool:
    """Whether names of columns are rather values: numbers, or texts of many words."""
    return any(
        len(name) > _SHOWN
        or len(name.split()) > _WORDS
        or re.fullmatch(r"[+-]?[0-9]+([.][0-9]+)?", name.strip())
        for name in header
    )


def _example(header: Sequence[str], text: str) -> str:
    """Names for columns, the longest value being the text."""
    longest = max(range(len(header)), key=lambda i: len(header[i]))
    others = iter(["label", *(f"column_{i}" for i in range(len(header)))])
    return ",".join(text if i == longest else next(others) for i in range(len(header)))

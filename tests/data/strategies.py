"""Hypothesis strategies that several tests share."""

from hypothesis import strategies

_PIECES = (
    "<br />",
    "<b>",
    "</i>",
    "<",
    ">",
    "&amp;",
    "&lt;",
    "&nbsp;",
    "&#128512;",
    "&#7;",
    "&NotEqualTilde;",
    "&",
    ";",
    "http://",
    "www.",
    "a.org/b",
    "😀",
    "İ",
    "ΑΣ",
    "中文",
    "e\u0301",
    "\x00",
    "\ud800",
    "\ufeff",
    "\u3000",
    "\r\n",
    "  ",
    " good",
    " Film",
    "!",
)


def raw_texts():
    """Texts of pieces that cleaning acts upon, among any characters."""
    anything = strategies.text(max_size=6)
    pieces = strategies.one_of(strategies.sampled_from(_PIECES), anything)
    return strategies.lists(pieces, max_size=12).map("".join)

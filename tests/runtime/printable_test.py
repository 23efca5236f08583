import pytest

from sentiment.runtime.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\x9bb", "a\\x9bb"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("好电影 😀 Größe", "好电影 😀 Größe"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown

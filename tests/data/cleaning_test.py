import functools
import time

import numpy as np
import pytest
from hypothesis import given

from sentiment.data.cleaning import clean_text, clean_with_spans
from sentiment.errors import InputError
from tests.data.odd_texts import ODD_TEXTS
from tests.data.strategies import raw_texts

# Texts in which there is nothing to clean.
CLEAN_TEXTS = [
    "",
    'A fine film, I\'d say 9/10 - "must see"!',
    "<3 and a < b and c > d and <|endoftext|> and <- -> and </3 so sad :>",
    "AT&T, R&B, Q&A, fish & chips; &c",
    "mail me@example.org, 5:30, C:\\temp, and/or, www is old, http is a word",
    "Größe, façade, naïve, ¿qué?, dů, ő",
    "Отличный фильм, очень понравилось!",
    "Εξαιρετική ταινία!",
    "فيلم رائع جدًا، أنصح به.",
    "סרט מצוין!",
    "बहुत अच्छी फिल्म थी।",
    "หนังดีมาก",
    "这部电影真好看。",
    "とても良い映画でした。",
    "정말 좋은 영화였어요",
    "Bộ phim rất hay",
    "👍🏽 👩‍👩‍👧 🇩🇪 ❤️ 5️⃣",
    "zero\u200bwidth and soft\u00adhyphen and \ufffd",
]


@pytest.mark.parametrize("text", CLEAN_TEXTS)
def test_clean_text_is_left_as_it_is(text):
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("one<br />two", "one two"),
        ("one<br /><br />two", "one two"),
        ("one <br/> two", "one two"),
        ("<p class='a'>one</p>\n<P>two</P>", "one two"),
        ("<!DOCTYPE html><!-- note -->one", "one"),
        ("<a\nhref=x>one</a>", "one"),
        ("not<b>able</b>", "not able"),
        ("<b", "<b"),
        ("<br <br>one", "<br one"),
        ("<i>a < b</i>", "a < b"),
        ("<<b>>", "< >"),
    ],
)
def test_a_tag_becomes_one_space(text, cleaned):
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("fish &amp; chips", "fish & chips"),
        ("&quot;great&quot;", '"great"'),
        ("it&#39;s &#x27;so&#X27;", "it's 'so'"),
        ("caf&eacute; &frac12;", "café ½"),
        ("one&nbsp;two", "one two"),
        ("&#128512;&#x1F600;", "😀😀"),
        ("&#0;&#xD800;&#9999999;", "\ufffd\ufffd\ufffd"),
        ("&amp;lt;", "&lt;"),  # resolved once
        ("&lt;b&gt;", "<b>"),  # written about, not a tag
        ("&amp &eacute &#39 &lt", "&amp &eacute &#39 &lt"),
        ("AT&region", "AT&region"),
        ("AT&region; &nothing;", "AT&region; &nothing;"),
        ("&; &#; &#x; &a b;", "&; &#; &#x; &a b;"),
    ],
)
def test_only_an_entity_closed_by_a_semicolon_becomes_its_character(text, cleaned):
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("see http://a.org/x?y=1&z=2#t now", "see now"),
        ("see HTTPS://A.ORG now", "see now"),
        ("see www.a.org/b_(c)d now", "see now"),
        ("Is it (www.a.org)?", "Is it ( )?"),
        ("See http://a.org/b.html. Then", "See . Then"),
        ("http://a.org, http://b.org; end!", ", ; end!"),
        ('"http://a.org/": yes', '" ": yes'),
        ("[www.a.org]; {www.b.org}...", "[ ]; { }..."),
        ("<http://a.org>", ""),  # opens like a tag
        ("http://a.org/&amp;b", ""),  # entities first
        ("xwww.a.org ahttp://b.org", "xwww.a.org a"),
        ("http:// www. https://... www.!", "http:// www. https://... www.!"),
    ],
)
def test_a_url_becomes_a_space_and_the_punctuation_behind_it_stays(text, cleaned):
    # "http://" alone has a last character that is no punctuation: its slash.
    assert clean_text(text) == cleaned


def test_control_characters_vanish_or_are_white_space():
    white = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0xFEFF):
        expected = "a b" if chr(code) in white else "ab"
        assert clean_text(f"a{chr(code)}b") == expected, hex(code)


def test_lone_surrogates_become_the_replacement_character():
    text = clean_text("a\ud800b\udfffc\udc80 😀")
    assert text == "a\ufffdb\ufffdc\ufffd 😀"
    text.encode("utf-8")


def test_runs_of_white_space_become_one_space_and_ends_are_trimmed():
    assert clean_text(" \n a\t\tb \u2003\u3000 c\u00a0 \r\n") == "a b c"
    assert clean_text(" \n ") == clean_text("<br />") == ""


def test_rules_apply_in_their_order():
    # A tag of an entity's "<" stays; a surrogate from an entity cannot.
    assert clean_text("&lt;br /&gt; <a href='http://a.org'>x</a>") == "<br /> x"
    assert clean_text("&#10;a&Tab;b") == "a b"


def test_lowercase_is_off_by_default_and_covers_what_entities_give():
    assert clean_text("GREAT &Eacute;T\u00c9") == "GREAT ÉTÉ"
    assert clean_text("GREAT &Eacute;T\u00c9", lowercase=True) == "great été"


def test_docstring_example():
    text = "Great<br />film &amp; cast <3  (www.example.org)"
    assert clean_text(text) == "Great film & cast <3 ( )"


@pytest.mark.parametrize("text", [None, 3, 1.5, b"bytes", ["a"], float("nan")])
def test_anything_but_a_string_is_an_input_error(text):
    with pytest.raises(InputError, match=type(text).__name__):
        clean_text(text)


def test_cleaning_twice_changes_nothing_more():
    rng = np.random.default_rng(0)
    pieces = ["<b>", "<", ">", "http://a.org).", "www.", "&lt;", "\n", "\x00", "é", "a"]
    for _ in range(300):
        once = clean_text(" ".join(rng.choice(pieces, 8)))
        assert clean_text(once) == once


def assert_linear(text):
    """Grows in steps, so that quadratic time fails here instead of hanging."""
    for size in (10_000, 100_000, 5_000_000):
        assert seconds(text[:size]) < 20 * benign_seconds(size) + 0.05, size


@functools.cache
def benign_seconds(size):
    return seconds(("A good film, and not too long. " * (size // 31 + 1))[:size])


def seconds(text):
    start = time.thread_time()  # The clock counts whatever else runs, too.
    clean_text(text)
    return time.thread_time() - start


@pytest.mark.parametrize(
    "piece", ["<", "&", "<a", "&#1", "&abcdefg", "http://", " http://.", "www."]
)
def test_hostile_text_of_five_megabytes_takes_linear_time(piece):
    assert_linear(piece * (5_000_000 // len(piece)))


@pytest.mark.parametrize("start", ["<a ", "http://a.", "http://(", "&#11", "a  "])
def test_one_opening_before_five_megabytes_takes_linear_time(start):
    assert_linear(start + start[-1] * 5_000_000)


# --- Where each character comes from


@pytest.mark.parametrize(
    ("text", "cleaned", "spans"),
    [
        ("ab", "ab", [(0, 1), (1, 2)]),
        ("A<br />&lt;3", "A <3", [(0, 1), (1, 7), (7, 11), (11, 12)]),
        (" a \n b ", "a b", [(1, 2), (2, 5), (5, 6)]),
        ("a<b>\t<i>c", "a c", [(0, 1), (1, 8), (8, 9)]),
        ("a\x00b", "ab", [(0, 1), (2, 3)]),
        ("&NotEqualTilde;", "\u2242\u0338", [(0, 15), (0, 15)]),
        ("a&nbsp;www.x.org b", "a b", [(0, 1), (1, 17), (17, 18)]),
        ("&#7;a", "a", [(4, 5)]),
        ("😀\ud800", "😀\ufffd", [(0, 1), (1, 2)]),
        ("", "", []),
        ("<br>", "", []),
    ],
)
def test_spans_of_characters(text, cleaned, spans):
    found = clean_with_spans(text)
    assert found.text == cleaned
    assert found.spans.tolist() == [list(span) for span in spans]
    assert found.spans.dtype == np.int32
    assert found.spans.shape == (len(cleaned), 2)


def test_a_letter_that_becomes_two_in_lower_case_gives_both_its_span():
    found = clean_with_spans("xİΣ", lowercase=True)
    assert found.text == "xi\u0307ς"  # a final sigma: the text decides, not the letter
    assert found.spans.tolist() == [[0, 1], [1, 2], [1, 2], [2, 3]]


def check_spans(text, lowercase):
    found = clean_with_spans(text, lowercase)
    assert found.text == clean_text(text, lowercase)
    assert len(found.spans) == len(found.text)
    starts, ends = found.spans.T
    assert (starts < ends).all()
    assert (np.diff(starts) >= 0).all()
    assert (np.diff(ends) >= 0).all()
    assert len(found.spans) == 0 or (starts[0] >= 0 and ends[-1] <= len(text))


@pytest.mark.parametrize("lowercase", [False, True])
def test_odd_texts_are_cleaned_alike_with_spans_and_without(lowercase):
    for text in ODD_TEXTS:
        check_spans(text, lowercase)


@given(raw_texts())
def test_any_text_is_cleaned_alike_with_spans_and_without(text):
    for lowercase in (False, True):
        check_spans(text, lowercase)


def test_spans_of_what_is_no_text_are_refused():
    with pytest.raises(InputError, match=r"must be a string\. Received: 3"):
        clean_with_spans(3)

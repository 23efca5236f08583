import pytest
from hypothesis import example, given, strategies

from sentiment.data import sentences as cutting
from sentiment.data.sentences import sentence_spans, sentences
from sentiment.errors import InputError

CUT = {
    "It was bad. I left!": ["It was bad.", "I left!"],
    "It cost $3.50. Mr. Ash loved it.": ["It cost $3.50.", "Mr. Ash loved it."],
    "J. R. Moss wrote it, e.g. at 3 p.m. on Monday.": [
        "J. R. Moss wrote it, e.g. at 3 p.m. on Monday."
    ],
    "Well... it works. Does it?!": ["Well... it works.", "Does it?!"],
    "So good 😀! 👍🏽 Again? Yes.": ["So good 😀!", "👍🏽 Again?", "Yes."],
    "酒店很好。但是服务差！真的吗？是。": [
        "酒店很好。",
        "但是服务差！",
        "真的吗？",
        "是。",
    ],
    'She said "It is bad." Then she left.': ['She said "It is bad."', "Then she left."],
    "A heading\n\nIts text. More": ["A heading", "Its text.", "More"],
    "no mark at all": ["no mark at all"],
    "  \n ": [],
    "": [],
}


@pytest.mark.parametrize("text", CUT)
def test_cuts_where_a_reader_would(text):
    assert sentences(text) == CUT[text]


LETTERS = strategies.sampled_from(
    [*"aA.!?\n\r\t。！\"'()😀é\u2028\u3000\u200b\x00\ud800", "Mr.", " J.", "U.S."]
)


@given(strategies.lists(LETTERS, max_size=30).map("".join))
@example("A J.\u3000")  # sentencex alone stops the process here
def test_sentences_are_in_order_and_leave_only_blanks_out(text):
    end_before, left_out = 0, []
    for start, end in sentence_spans(text):
        assert end_before <= start < end <= len(text)
        assert text[start:end].strip() == text[start:end]
        left_out.append(text[end_before:start])
        end_before = end
    assert "".join([*left_out, text[end_before:]]).strip() == ""


def test_long_texts_are_cut_as_short_ones_are(monkeypatch):
    texts = [text for text in CUT if text.strip()]
    text = " ".join(
        text if text[-1] in ".!?\u3002" else f"{text}." for text in texts * 5
    )
    expected = sentence_spans(text)
    assert len(expected) > 50
    for window in (7, 50, 333):
        monkeypatch.setattr(cutting, "_WINDOW", window)
        assert sentence_spans(text) == expected


def test_wants_a_string():
    with pytest.raises(InputError, match="must be a string"):
        sentence_spans(None)

import json
import re
from collections import Counter

import pytest

from sentiment.behaviour.rules import IsOneOf, IsSame, Moves
from sentiment.behaviour.suite import read_suite
from sentiment.errors import InputError

WORDS = {"shoe": ["boot", "sandal", "insole"], "good": ["light", "odd"], "size": ["9"]}


@pytest.fixture
def read(tmp_path):
    """Reads a suite of one test, with other settings of the file if given."""

    def read(test, **content):
        path = tmp_path / "suite.json"
        test = {"section": "s", "name": "n", **test}
        whole = {"name": "shoes", "words": WORDS, "tests": [test], **content}
        path.write_text(json.dumps(whole))
        (behaviour,) = read_suite(path).behaviours
        return behaviour

    return read


def test_each_case_fills_a_template_with_other_words(read):
    found = read({"label": "positive", "texts": ["The {shoe} is {good}.", "{good}"]})
    expected = {f"The {s} is {g}." for s in WORDS["shoe"] for g in WORDS["good"]}
    assert {text for (text,) in found.cases} == expected | {"Light", "Odd"}
    assert len(found.cases) == 8
    assert found.rule == IsOneOf(("positive",))


def test_templates_share_the_cases(read):
    texts = ["The {shoe} is {good}.", "{good}", "A {good} {shoe}."]
    found = read({"labels": ["neutral", "positive"], "texts": texts}, max_cases=6)
    begins = Counter(text.split()[0] for (text,) in found.cases)
    assert begins == {"The": 2, "Light": 1, "Odd": 1, "A": 2}
    assert found.rule == IsOneOf(("neutral", "positive"))


def test_a_word_has_the_same_value_all_over_a_group(read):
    found = read({"rises": [["A {shoe}.", "A {shoe}. It is {good}."]]})
    assert found.rule == Moves(1)
    for first, second in found.cases:
        assert second.startswith(first)
    assert read({"falls": [["a", "b", "c"]]}).rule == Moves(-1)


def test_only_what_is_named_varies(read):
    found = read({"vary": ["shoe", "size"], "texts": ["{shoe} {good} {shoe}"]})
    assert found.rule == IsSame()
    assert len(found.cases) == 6
    for one, other in found.cases:
        (a, good, b), (c, same, d) = one.lower().split(), other.lower().split()
        assert a == b != c == d
        assert good == same


def test_a_change_is_made_of_the_text(read):
    found = read({"change": "upper", "texts": ["The {shoe}"]})
    assert set(found.cases) == {(f"The {s}", f"THE {s}".upper()) for s in WORDS["shoe"]}


def test_what_a_change_leaves_as_it_is_is_no_case(read):
    found = read({"change": "typo", "texts": ["The {shoe}", "It is so"]})
    assert {before for before, _ in found.cases} == {"The sandal", "The insole"}


def test_english_says_an_before_a_vowel(read):
    test = {"label": "neutral", "texts": ["A {good} {shoe}"]}
    assert ("An odd boot",) in read(test, language="en").cases
    assert ("A odd boot",) in read(test).cases


def test_cases_are_the_same_whatever_stands_beside_them(read, tmp_path):
    test = {"label": "positive", "texts": ["The {shoe} is {good}."]}
    one = read(test, max_cases=3)
    other = {"section": "s", "name": "other", "label": "neutral", "texts": ["a"]}
    whole = {"name": "shoes", "words": WORDS, "max_cases": 3}
    tests = [other, {"section": "s", "name": "n", **test}]
    path = tmp_path / "two.json"
    path.write_text(json.dumps({**whole, "tests": tests}))
    assert read_suite(path).behaviours[1] == one


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"texts": ["a"]}, "'s: n' must have one of label, .*Received: none"),
        (
            {"label": "neutral", "vary": ["shoe"], "texts": ["a"]},
            "Received: label, vary",
        ),
        ({"label": "good", "texts": ["a"]}, "must be of negative, .*Received: 'good'"),
        ({"labels": [], "texts": ["a"]}, "must be of negative"),
        ({"label": "neutral", "texts": []}, "'s: n' has no texts"),
        ({"label": "neutral", "texts": ["a", ""]}, "has no texts, or an empty one"),
        ({"label": "neutral", "texts": ["{hat}"]}, "wants words for 'hat'"),
        ({"change": "mirror", "texts": ["a"]}, "one of typo, .*Received: 'mirror'"),
        ({"vary": ["shoe"], "texts": ["a {good} one"]}, "has a text without shoe"),
        ({"vary": ["size"], "texts": ["{size}"]}, "wants two words for 'size'"),
        ({"rises": [["a"]]}, "'s: n' has a group of one text"),
        ({"change": "typo", "texts": ["a"]}, "'s: n' changes none of its texts"),
        ({"label": "neutral"}, "lacks 'texts'"),
    ],
)
def test_what_is_wrong_is_named(read, test, message):
    with pytest.raises(InputError, match=rf"suite .*suite\.json.*{message}"):
        read(test)


def test_numbers_that_leave_no_case_are_refused(read):
    with pytest.raises(InputError, match=r"max_cases must be >= 1\. Received: 0"):
        read({"label": "neutral", "texts": ["a"]}, max_cases=0)
    with pytest.raises(InputError, match="it has no tests"):
        read({}, tests=[])
    with pytest.raises(InputError, match="something of another type"):
        read({"label": "neutral", "texts": ["{shoe}"]}, words={"shoe": [1]})


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "a", "words": {}}'])
def test_what_is_no_suite_is_refused(tmp_path, content):
    path = tmp_path / "suite.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"suite\.json"):
        read_suite(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read_suite(tmp_path / "none.json")


# --- The English suite


def test_the_english_suite_is_large_and_the_same_each_time():
    suite = read_suite()
    assert suite == read_suite()
    assert len(suite.behaviours) >= 30
    assert sum(len(b.cases) for b in suite.behaviours) >= 3_000
    assert len({(b.section, b.name) for b in suite.behaviours}) == len(suite.behaviours)


def test_no_case_of_the_english_suite_is_badly_made():
    for behaviour in read_suite().behaviours:
        for case in behaviour.cases:
            for text in case:
                assert "{" not in text
                assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiouAEIOU]", text)
                assert text == text.strip()
            if not isinstance(behaviour.rule, IsOneOf):
                assert len(set(case)) == len(case) > 1


def test_no_text_of_the_english_suite_has_two_right_answers():
    answers = {}
    for behaviour in read_suite().behaviours:
        if isinstance(behaviour.rule, IsOneOf):
            for (text,) in behaviour.cases:
                assert answers.setdefault(text, behaviour.rule) == behaviour.rule

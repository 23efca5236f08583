import pytest

from sentiment.data.labels import (
    LabelMap,
    doubts,
    in_order,
    label_stands_in_text,
    spelling,
)
from sentiment.errors import InputError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        (1.0, "1"),
        ("+1", "1"),
        (" 1.50 ", "1.5"),
        ("-0.0", "0"),
        ("10", "10"),
        ("100.0", "100"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("\u0661", "\u0661"),
        ("cafe\u0301\u200b", "caf\u00e9"),
        (True, "True"),
    ],
)
def test_a_label_has_one_spelling(value, expected):
    assert spelling(value) == expected


@pytest.mark.parametrize("value", [None, "", " \u200b", float("nan"), [], {}, b"x"])
def test_what_is_no_label_is_refused(value):
    with pytest.raises(ValueError, match="label"):
        spelling(value)


def test_numbers_sort_as_numbers_and_all_else_as_text():
    assert in_order(["10", "2", "1.5", "-1"]) == ["-1", "1.5", "2", "10"]
    assert in_order(["10", "2", "x"]) == ["10", "2", "x"]


def test_a_map_takes_names_numbers_and_ranges():
    mapped = LabelMap(["1-2.5:bad", "5:good", "so:so:fine", "-2--1:bad", "\u00e9:good"])
    assert mapped.names == ("bad", "good", "fine")
    expected = {"1": "bad", "2.5": "bad", "5": "good", "so:so": "fine", "-1.5": "bad"}
    assert {label: mapped(label) for label in expected} == expected
    assert mapped(spelling("e\u0301")) == "good"
    for label in ("3", "2.6", "0", "Bad"):
        with pytest.raises(ValueError, match="not in --label_map"):
            mapped(label)


@pytest.mark.parametrize("item", ["x", "x:", ":x", "", " : "])
def test_a_map_of_something_else_is_refused(item):
    with pytest.raises(InputError, match="label:class"):
        LabelMap(["1:good", item])


@pytest.mark.parametrize(
    "items", [["1:a", "1.0:b"], ["1-3:a", "3-4:b"], ["1-5:a", "3:b"]]
)
def test_a_label_means_one_class(items):
    with pytest.raises(InputError, match="twice"):
        LabelMap(items)


def test_classes_that_differ_in_case_only_are_doubted():
    codes = [0] * 50 + [1] * 40 + [2] * 30
    (doubt,) = doubts(codes, ["Pos", "neg", "pos"])
    assert "differ in case only: 'Pos' (50), 'pos' (30)" in doubt
    assert doubts(codes, ["a", "b", "c"]) == []


@pytest.mark.parametrize(
    ("rare", "others", "doubted"),
    [
        (1, 9_999, True),
        (9, 20_000, True),
        (10, 20_000, False),
        (1, 100, True),
        (2, 100, False),
        (3, 1_000, False),
    ],
)
def test_rare_classes_are_doubted(rare, others, doubted):
    found = doubts([0] * others + [1] * rare, ["common", "rare"])
    assert bool(found) == doubted
    if doubted:
        assert f"'rare' ({rare})" in found[0]


def test_labels_that_stand_in_the_texts_are_noticed():
    names = ["good", "bad"]
    labels = names * 50
    assert label_stands_in_text(labels, labels, names) == 1
    told = [f"It was {label.upper()}, I say." for label in labels]
    assert label_stands_in_text(told, labels, names) == 1
    both = [
        f"not {other} but {label}"
        for label, other in zip(labels, [*labels[1:], "good"], strict=True)
    ]
    assert label_stands_in_text(both, labels, names) < 0.02
    assert label_stands_in_text(["goodness"] * 100, labels, names) == 0
    assert label_stands_in_text(labels[:10], labels[:10], names) == 0

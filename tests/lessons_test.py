"""The suites that models are taught from, `configs/lessons/`."""

import functools
import itertools
from collections import Counter

import pytest

from sentiment.behaviour.rules import IsOneOf
from sentiment.behaviour.suite import read_suite
from sentiment.config import POLARITIES
from sentiment.data.cleaning import comparison_key
from tests.conftest import ROOT

LESSONS = sorted((ROOT / "configs" / "lessons").glob("*.json"))
read = functools.cache(read_suite)

each_suite = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def labelled(path):
    """`(text, label)` of every case."""
    for behaviour in read(path).behaviours:
        for (text,) in behaviour.cases:
            yield text, behaviour.rule.polarities[0]


def test_there_are_lessons():
    assert {path.stem for path in LESSONS} == {"negation", "contrast"}


@each_suite
def test_each_case_has_one_right_answer(path):
    for behaviour in read(path).behaviours:
        assert isinstance(behaviour.rule, IsOneOf)
        assert len(behaviour.rule.polarities) == 1
        assert {len(case) for case in behaviour.cases} == {1}


@each_suite
def test_labels_are_balanced_as_a_whole_and_none_is_a_sections_only_one(path):
    counts = Counter(label for _, label in labelled(path))
    assert all(0.25 < counts[name] / counts.total() < 0.4 for name in POLARITIES)
    of_section = {
        section: {b.rule.polarities[0] for b in behaviours}
        for section, behaviours in itertools.groupby(
            sorted(read(path).behaviours, key=lambda b: b.section),
            key=lambda b: b.section,
        )
    }
    assert set(map(len, of_section.values())) == {3}


def test_no_text_has_two_labels():
    label_of = {}
    for path in LESSONS:
        for text, label in labelled(path):
            assert label_of.setdefault(comparison_key(text), label) == label, text


def test_they_are_not_what_behaviour_is_tested_with():
    """A lesson may meet a case of the suite by chance: see docs/behaviour.md."""
    tested = {
        comparison_key(text)
        for behaviour in read("").behaviours
        for case in behaviour.cases
        for text in case
    }
    taught = {comparison_key(text) for path in LESSONS for text, _ in labelled(path)}
    assert len(tested & taught) < 0.02 * len(tested)

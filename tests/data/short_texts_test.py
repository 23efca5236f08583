"""The bundled short texts are what docs/data.md says of them."""

from collections import Counter

import pytest

from sentiment.behaviour.suite import read_suite
from sentiment.data.cleaning import comparison_key
from sentiment.data.datasets import BUNDLED_LABELS
from tests.data.bundled_rows import near_duplicates, rows_of

KINDS = {
    "change",
    "comparison",
    "contrast",
    "hypothetical",
    "informal",
    "mixed",
    "negation",
    "neutral",
    "news",
    "others",
    "plain",
    "question",
    "sarcasm",
}


@pytest.fixture(scope="module")
def rows():
    return rows_of("short_texts")


def test_there_are_11200_distinct_texts(rows):
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 9777,
        "test": 1423,
    }
    texts = [row["text"] for found in rows.values() for row in found]
    assert len(set(map(comparison_key, texts))) == 11200


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_domains_and_kinds_are_all_there(rows, split):
    count = len(rows[split])
    labels = Counter(row["label"] for row in rows[split])
    assert set(labels) == set(BUNDLED_LABELS)
    assert all(0.25 < n / count < 0.4 for n in labels.values())
    domains = Counter(row["domain"] for row in rows[split])
    assert len(domains) == 15
    assert min(domains.values()) > 0.025 * count
    kinds = Counter(row["kind"] for row in rows[split])
    assert set(kinds) == KINDS
    assert 0.15 < kinds["negation"] / count < 0.25


def test_no_near_duplicates_across_splits(rows):
    train, test = ([row["text"] for row in rows[name]] for name in ("train", "test"))
    assert near_duplicates(test, train) == []
    assert near_duplicates(["A fine day out", "What?"], ["a fine day", "Why?"]) != []


def test_none_is_a_case_of_the_behaviour_suite(rows):
    tested = {
        comparison_key(text)
        for behaviour in read_suite().behaviours
        for case in behaviour.cases
        for text in case
    }
    texts = [row["text"] for found in rows.values() for row in found]
    assert tested.isdisjoint(map(comparison_key, texts))

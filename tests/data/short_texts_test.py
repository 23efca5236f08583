"""The bundled short texts are what docs/data.md says of them."""

from collections import Counter

import pytest

from sentiment.behaviour.suite import read_suite
from sentiment.data.cleaning import comparison_key
from sentiment.data.datasets import BUNDLED_LABELS
from tests.data.bundled_rows import rows_of, words

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


def test_there_are_1827_distinct_texts(rows):
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 1552,
        "test": 275,
    }
    texts = [row["text"] for found in rows.values() for row in found]
    assert len(set(map(comparison_key, texts))) == 1827


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_domains_and_kinds_are_all_there(rows, split):
    count = len(rows[split])
    labels = Counter(row["label"] for row in rows[split])
    assert set(labels) == set(BUNDLED_LABELS)
    assert all(0.25 < n / count < 0.4 for n in labels.values())
    domains = Counter(row["domain"] for row in rows[split])
    assert len(domains) == 14
    assert min(domains.values()) > 0.03 * count
    kinds = Counter(row["kind"] for row in rows[split])
    assert set(kinds) == KINDS
    assert 0.2 < kinds["negation"] / count < 0.3


def test_no_near_duplicates_across_splits(rows):
    bags = {s: [frozenset(words(row["text"])) for row in rows[s]] for s in rows}
    for a in bags["train"]:
        for b in bags["test"]:
            assert len(a & b) < 0.5 * len(a | b) or not a | b, (a, b)


def test_none_is_a_case_of_the_behaviour_suite(rows):
    tested = {
        comparison_key(text)
        for behaviour in read_suite().behaviours
        for case in behaviour.cases
        for text in case
    }
    texts = [row["text"] for found in rows.values() for row in found]
    assert tested.isdisjoint(map(comparison_key, texts))

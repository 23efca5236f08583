"""The bundled reviews are what docs/data.md says of them."""

from collections import Counter
from itertools import combinations

import pytest

from sentiment.data.datasets import BUNDLED_LABELS
from tests.data.bundled_rows import near_duplicates, rows_of, words

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def rows():
    return rows_of("quickstart")


def test_there_are_2993_distinct_reviews(rows):
    texts = [row["text"] for split in SPLITS for row in rows[split]]
    assert len({" ".join(words(text)) for text in texts}) == len(texts) == 2993


@pytest.mark.parametrize("split", SPLITS)
def test_classes_and_domains_are_balanced(rows, split):
    labels = Counter(row["label"] for row in rows[split])
    assert set(labels) == set(BUNDLED_LABELS)
    assert max(labels.values()) - min(labels.values()) <= 5
    domains = Counter(row["domain"] for row in rows[split])
    assert len(domains) == 6
    assert max(domains.values()) <= 1.1 * min(domains.values())


def test_no_two_reviews_share_a_phrase_of_five_words(rows):
    """No templates: not within a split either."""
    seen = {}
    for split in SPLITS:
        for i, row in enumerate(rows[split]):
            tokens = words(row["text"])
            for phrase in zip(*(tokens[k:] for k in range(5)), strict=False):
                owner = seen.setdefault(phrase, (split, i))
                assert owner == (split, i), phrase


def test_no_near_duplicates_across_splits(rows):
    texts = {split: [row["text"] for row in rows[split]] for split in SPLITS}
    for first, second in combinations(SPLITS, 2):
        assert near_duplicates(texts[first], texts[second]) == []

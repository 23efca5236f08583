"""The rows of the data sets that come with the package, and their words."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable

from sentiment.data.datasets import bundled_files


def rows_of(name: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each split."""
    loaded = {}
    for split, path in bundled_files(name).items():
        with open(path, encoding="utf-8", newline="") as file:
            loaded[split] = list(csv.DictReader(file))
    return loaded


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def near_duplicates(texts: Iterable[str], others: Iterable[str]) -> list[tuple]:
    """Pairs of texts, one of each, that share at least half of their words."""
    bags = [frozenset(words(text)) for text in others]
    holders = defaultdict(set)
    for index, bag in enumerate(bags):
        for word in bag:
            holders[word].add(index)
    found = []
    for text in texts:
        bag = frozenset(words(text))
        near = set().union(*(holders[word] for word in bag))
        alike = (i for i in near if 2 * len(bag & bags[i]) >= len(bag | bags[i]))
        found += [(text, sorted(bags[i])) for i in alike]
    return found

"""The rows of the data sets that come with the package, and their words."""

import csv
import re

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

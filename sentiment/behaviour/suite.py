"""Suites of behaviour tests: templates, and the cases made of them.

The three kinds of tests are those of CheckList (Ribeiro et al. 2020,
https://aclanthology.org/2020.acl-main.442): one right answer, the same answer whatever
is changed, a tone that moves in one direction.

A suite is a JSON file:

    {
      "name": "shoes", "language": "en", "max_cases": 100,
      "words": {"shoe": ["boot", "sandal"], "good": ["comfortable", "light"]},
      "tests": [
        {"section": "plain", "name": "praise", "label": "positive",
         "texts": ["The {shoe} is {good}."]},
        {"section": "robustness", "name": "which shoe", "vary": ["shoe"],
         "texts": ["This {shoe} is {good}."]},
        {"section": "robustness", "name": "capitals", "change": "upper",
         "texts": ["This {shoe} is {good}."]},
        {"section": "direction", "name": "praise added",
         "rises": [["A {shoe}.", "A {shoe}. It is {good}."]]}
      ]
    }

`label` is one of negative, neutral, positive, `labels` several of them. `vary` puts
other words of the named lists into the same text, `change` is one of `CHANGES`; the
answer stays the same. `rises` and `falls` hold groups of texts, each as positive, or as
negative, as the one before it or more.
"""

import itertools
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentiment.behaviour.changes import CHANGES
from sentiment.behaviour.rules import IsOneOf, IsSame, Moves, Rule
from sentiment.config import POLARITIES
from sentiment.data.cleaning import comparison_key
from sentiment.data.tables.writer import TableWriter
from sentiment.errors import InputError

ENGLISH = Path(__file__).parent / "english.json"

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")
_RULES = ("label", "labels", "vary", "change", "rises", "falls")


@dataclass(frozen=True)
class Behaviour:
    """One thing that a model should do.

    Attributes:
        section: what it is one of.
        name: what it is.
        rule: what must hold of each case.
        cases: texts that are judged together, for each case.
    """

    section: str
    name: str
    rule: Rule
    cases: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Suite:
    """Behaviours to be looked for.

    Attributes:
        name: of the suite.
        behaviours: in the order of the file.
    """

    name: str
    behaviours: tuple[Behaviour, ...]


def read_suite(path: str | Path = "") -> Suite:
    """A suite with its cases, which are the same at each reading.

    Args:
        path: a JSON file as above; empty: the English one that comes along.

    Raises:
        InputError: it cannot be read, or a test in it is not as described above.
    """
    path = Path(path or ENGLISH)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The suite {path} cannot be read: {error}.") from error
    try:
        maker = _Maker(content)
        return Suite(content["name"], tuple(map(maker.behaviour, content["tests"])))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The suite {path} lacks {error}, or holds something of another type."
        ) from error
    except InputError as error:
        raise InputError(f"In the suite {path}: {error}") from error


def write_cases(suite: Suite, path: str | Path, overwrite: bool = False) -> int:
    """Writes the texts of a suite as a table, each once.

    Its columns are `text`, `label` (the polarity where one is right, else nothing),
    `section` and `behaviour`.

    Args:
        suite: what they are of.
        path: CSV, TSV, JSONL or Parquet.
        overwrite: whether to replace an existing file.

    Returns:
        The number of texts.

    Raises:
        InputError: the file cannot be written, or exists and not `overwrite`; or a text
            has two labels.
    """
    rows = {}
    for behaviour in suite.behaviours:
        rule = behaviour.rule
        is_certain = isinstance(rule, IsOneOf) and len(rule.polarities) == 1
        label = rule.polarities[0] if is_certain else None
        values = {"section": behaviour.section, "behaviour": behaviour.name}
        for text in itertools.chain.from_iterable(behaviour.cases):
            row = {"text": text, "label": label, **values}
            key = comparison_key(text)
            before = rows.setdefault(key, row)
            if label is None or before["label"] == label:
                continue
            if before["label"] is None:
                rows[key] = row
            else:
                raise InputError(
                    f"{text!r} is {label} in {behaviour.name!r} of the suite and "
                    f"{before['label']} in {before['behaviour']!r}."
                )
    with TableWriter(path, overwrite) as writer:
        writer.write(list(rows.values()))
    return len(rows)


class _Maker:
    """Makes cases of templates."""

    def __init__(self, content: dict):
        self.name = content["name"]
        self.words = content["words"]
        self.max_cases = content.get("max_cases", 100)
        if self.max_cases < 1:
            raise InputError(f"max_cases must be >= 1. Received: {self.max_cases}.")
        if not content["tests"]:
            raise InputError("it has no tests.")
        self.is_english = content.get("language") == "en"

    def behaviour(self, test: dict) -> Behaviour:
        self._where = f"{test['section']}: {test['name']}"
        given = [name for name in _RULES if name in test]
        if len(given) != 1:
            raise InputError(
                f"{self._where!r} must have one of {', '.join(_RULES)}. "
                f"Received: {', '.join(given) or 'none'}."
            )
        rule, value = given[0], test[given[0]]
        if rule in ("rises", "falls"):
            groups = [tuple(group) for group in value]
            if any(len(group) < 2 for group in groups):
                raise InputError(f"{self._where!r} has a group of one text or none.")
        else:
            groups = [(text,) for text in test["texts"]]
        if not groups or not all(map(all, groups)):
            raise InputError(f"{self._where!r} has no texts, or an empty one.")
        # The same cases whatever else the suite holds.
        draw = random.Random(f"{self.name}/{self._where}")
        make = {
            "vary": lambda group, slots: self._varied(group, slots, value, draw),
            "change": lambda group, slots: self._changed(group, slots, value, draw),
        }.get(rule, self._filled)
        cases = _in_turn([self._cases(group, make, draw) for group in groups])
        drawn = tuple(dict.fromkeys(itertools.islice(cases, self.max_cases)))
        if not drawn:
            raise InputError(
                f"The change of {self._where!r} changes none of its texts."
            )
        return Behaviour(test["section"], test["name"], self._rule(rule, value), drawn)

    def _rule(self, rule: str, value) -> Rule:
        if rule in ("rises", "falls"):
            return Moves(1 if rule == "rises" else -1)
        if rule in ("vary", "change"):
            return IsSame()
        polarities = tuple([value] if rule == "label" else value)
        if not polarities or not set(polarities) <= set(POLARITIES):
            raise InputError(
                f"The {rule} of {self._where!r} must be of {', '.join(POLARITIES)}. "
                f"Received: {value!r}."
            )
        return IsOneOf(polarities)

    def _cases(self, group, make, draw: random.Random) -> Iterator:
        """Cases of one template, or of one group of them, each filled differently."""
        slots = list(dict.fromkeys(_SLOT.findall(" ".join(group))))
        unknown = [slot for slot in slots if not self.words.get(slot)]
        if unknown:
            raise InputError(f"{self._where!r} wants words for {unknown[0]!r}.")
        lists = [self.words[slot] for slot in slots]
        count = math.prod(map(len, lists))
        for number in draw.sample(range(count), min(count, self.max_cases)):
            words = {}
            for slot, choices in zip(slots, lists, strict=True):
                number, i = divmod(number, len(choices))
                words[slot] = choices[i]
            yield make(group, words)

    def _filled(self, group, words) -> tuple[str, ...]:
        return tuple(self._fill(template, words) for template in group)

    def _varied(self, group, words, names, draw) -> tuple[str, ...]:
        others = dict(words)
        for name in names:
            if name in words:
                left = [word for word in self.words[name] if word != words[name]]
                if not left:
                    raise InputError(f"{self._where!r} wants two words for {name!r}.")
                others[name] = draw.choice(left)
        if others == words:
            raise InputError(f"{self._where!r} has a text without {', '.join(names)}.")
        return self._filled(group, words) + self._filled(group, others)

    def _changed(self, group, words, name, draw) -> tuple[str, ...] | None:
        """`None` where the change finds nothing to change, as a typo in short words."""
        if name not in CHANGES:
            raise InputError(
                f"The change of {self._where!r} must be one of {', '.join(CHANGES)}. "
                f"Received: {name!r}."
            )
        (text,) = self._filled(group, words)
        changed = CHANGES[name](text, draw)
        return None if changed == text else (text, changed)

    def _fill(self, template: str, words: dict[str, str]) -> str:
        text = _SLOT.sub(lambda slot: words[slot[1]], template)
        if self.is_english:
            text = _ARTICLE.sub(r"\1n ", text)
        return text[:1].upper() + text[1:] if template[:1] == "{" else text


def _in_turn(iterators: list[Iterator]) -> Iterator:
    """One of each, then again one of each, and so on, without `None`."""
    for several in itertools.zip_longest(*iterators):
        yield from (one for one in several if one is not None)

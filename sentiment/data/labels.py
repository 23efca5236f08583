"""What a label in a table means: one spelling, missing ones, classes, maps."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np

from sentiment.data.tables.names import tidy_name
from sentiment.errors import InputError

# What pandas takes for a missing value in a file, and so writes nothing for.
MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"}
    | {"1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_RANGE = re.compile(rf"({_NUMBER.pattern})-({_NUMBER.pattern})")
# A class of fewer examples than this share of them, and than this number, is rare.
_RARE_SHARE = 1 / 1000
_RARE_COUNT = 10
_LOOKED_AT = 1000  # texts, for labels in them
_FEWEST_TEXTS = 20


def spelling(value: object) -> str:
    """A label's one spelling.

    A number loses its sign if that is +, and zeros at the end of its decimals; any
    other label what cannot be seen in it.

    >>> spelling(1.0), spelling(" +1 "), spelling("1.50"), spelling("007")
    ('1', '1', '1.5', '007')

    Raises:
        ValueError: there is none, or it is no label.
    """
    # NaN, the one value unequal to itself, is a missing number in pandas' files.
    if value is None or value != value:
        raise ValueError("no label")
    if isinstance(value, dict | list | bytes):
        raise ValueError(f"label {value!r:.60} is neither string nor number")
    label = tidy_name(value)
    if not label:
        raise ValueError("no label")
    return plain(Decimal(label)) if _NUMBER.fullmatch(label) else label


def plain(number: Decimal) -> str:
    """A number without exponent and without zeros at the end of its decimals."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def is_number(label: str) -> bool:
    """Whether a label, as of `spelling`, is a number."""
    return _NUMBER.fullmatch(label) is not None


def in_order(labels: Iterable[str]) -> list[str]:
    """Classes in order: as numbers if all are numbers, else alphabetically."""
    labels = list(labels)
    return sorted(labels, key=Decimal if all(map(is_number, labels)) else None)


class LabelMap:
    """Which label of a table means which class: `1-2:negative`, `good:positive`.

    Args:
        items: each `label:class` or, for numbers, `from-to:class`, both inclusive.

    Attributes:
        names: the classes in the order in which they are first named.

    Raises:
        InputError: an item is no such thing, or a label is mapped twice.
    """

    def __init__(self, items: Sequence[str]):
        self._exact: dict[str, str] = {}
        self._ranges: list[tuple[Decimal, Decimal, str]] = []
        for item in items:
            key, _, name = map(tidy_name, item.rpartition(":"))
            if not key or not name:
                raise InputError(
                    "--label_map takes label:class, as in 1:negative,2:positive or "
                    f"1-2:negative,3:neutral,4-5:positive. Received: {item!r}."
                )
            if match := _RANGE.fullmatch(key):
                low, high = sorted(map(Decimal, match.groups()))
                if any(low <= end and high >= start for start, end, _ in self._ranges):
                    raise InputError(f"--label_map maps some of {key} twice.")
                self._ranges.append((low, high, name))
            elif self._exact.setdefault(spelling(key), name) != name:
                raise InputError(f"--label_map maps {key!r} twice.")
        for key, name in self._exact.items():
            if is_number(key) and self._in_range(key) not in (None, name):
                raise InputError(f"--label_map maps {key} twice.")
        self.names = tuple(
            dict.fromkeys(tidy_name(item.rpartition(":")[2]) for item in items)
        )

    def __call__(self, label: str) -> str:
        """The class of a label, as of `spelling`.

        Raises:
            ValueError: it is not mapped.
        """
        if label in self._exact:
            return self._exact[label]
        if is_number(label) and (name := self._in_range(label)) is not None:
            return name
        raise ValueError(f"label {label!r:.60} is not in --label_map")

    def _in_range(self, label: str) -> str | None:
        number = Decimal(label)
        return next((n for low, high, n in self._ranges if low <= number <= high), None)


class Classes:
    """The classes of a table, known or met on the way.

    Args:
        label_names: the classes by index; `None` takes those that are met.
        label_map: what labels mean; by default themselves.

    Attributes:
        codes: of each label so far, in the order in which classes were met, or
            indices of `label_names`.
    """

    def __init__(
        self,
        label_names: Sequence[str] | None = None,
        label_map: LabelMap | None = None,
    ):
        self.codes: list[int] = []
        self._known = label_names is not None
        self._names = list(map(tidy_name, label_names or ()))
        self._map = label_map
        self._index = {spelling(name): code for code, name in enumerate(self._names)}
        # With the names "1" to "5" a label is a name, never an index.
        self._takes_indices = (
            self._known and self._map is None and not any(map(is_number, self._index))
        )
        self._indices: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, value: object):
        """Takes the label of one more row.

        Raises:
            ValueError: there is none, or it is no class.
        """
        label = spelling(value)
        is_missing = label in MISSING and label not in self._index
        if self._map is not None:
            try:
                label = spelling(self._map(label)) if self._known else self._map(label)
            except ValueError:
                if is_missing:
                    raise ValueError(f"no label ({label})") from None
                raise
        elif is_missing:
            raise ValueError(
                f"no label ({label}); --label_names makes it a class if it is one"
            )
        if not self._known:
            code = self._index.setdefault(label, len(self._index))
        elif label in self._index:
            code = self._index[label]
        elif self._takes_indices and is_number(label):
            # Whether numbers are indices is decided by all of them: `check_indices`.
            self._indices[label] += 1
            code = int(label) if label.isdecimal() else -1
            code = code if code < len(self._names) else -1
        else:
            raise ValueError(f"label {label!r:.60} is not in {tuple(self._names)!r}")
        self.codes.append(code)

    def check_indices(self, path: object):
        """Checks that numbers, where classes have names, can only be indices.

        Raises:
            InputError: one is no index, or none is 0, so that 1 and 2 may be stars.
        """
        found = set(self._indices)
        if not found:
            return
        allowed = set(map(str, range(len(self._names))))
        if found <= allowed and "0" in found:
            return
        counts = ", ".join(
            f"{label} ({self._indices[label]:,} rows)" for label in in_order(found)[:10]
        )
        raise InputError(
            f"{path} has the labels {counts}, the classes are "
            f"{', '.join(self._names)}. Numbers are taken for indices only if they "
            f"begin at 0 and end at {len(self._names) - 1} or before. Say what they "
            f"mean, for example --label_map={_example(in_order(found), self._names)}"
        )

    def resolved(self) -> tuple[list[int], tuple[str, ...]]:
        """The codes as indices of the classes, and these in their order."""
        if self._known:
            return self.codes, tuple(self._names)
        names = (
            [name for name in self._map.names if name in self._index]
            if self._map is not None
            else in_order(self._index)
        )
        new = {self._index[name]: code for code, name in enumerate(names)}
        return [new[code] for code in self.codes], tuple(names)


def _example(labels: list[str], names: list[str]) -> str:
    """A map of numbers to classes, as if both went from bad to good."""
    if all(label.isdecimal() and int(label) < len(names) for label in labels):
        return ",".join(f"{code}:{name}" for code, name in enumerate(names))
    size = -(-len(labels) // len(names))
    groups = [labels[i : i + size] for i in range(0, len(labels), size)]
    return ",".join(
        f"{group[0]}:{name}" if len(group) == 1 else f"{group[0]}-{group[-1]}:{name}"
        for group, name in zip(groups, names, strict=False)
    )


def doubts(codes: Sequence[int], label_names: Sequence[str]) -> list[str]:
    """What looks like a slip in the labels of training data, a sentence each.

    Classes that differ in case alone, and classes with next to no examples, are
    rarely meant.
    """
    counts = Counter(codes)
    total = math.fsum(counts.values())
    found = []
    alike: dict[str, list[int]] = {}
    for code, name in enumerate(label_names):
        alike.setdefault(name.casefold(), []).append(code)
    for group in alike.values():
        if len(group) > 1:
            shown = ", ".join(f"{label_names[c]!r} ({counts[c]:,})" for c in group)
            found.append(f"Classes that differ in case only: {shown}.")
    rare = [
        code
        for code in range(len(label_names))
        if 0 < counts[code] < min(_RARE_COUNT, max(2, _RARE_SHARE * total))
    ]
    if rare:
        shown = ", ".join(f"{label_names[c]!r} ({counts[c]:,})" for c in rare)
        found.append(f"Classes with very few of {total:,.0f} rows: {shown}.")
    return found


def label_stands_in_text(
    texts: Sequence[str], labels: Sequence[str], label_names: Sequence[str]
) -> float:
    """The share of texts in which their own label is a word, and no other label is.

    Args:
        texts: the texts, of which some thousand are looked at.
        labels: the name of each text's class.
        label_names: the classes.

    Returns:
        The share, or 0 where there are too few texts to tell.
    """
    step = max(1, len(texts) // _LOOKED_AT)
    pairs = list(zip(texts, labels, strict=True))[::step]
    if len(pairs) < _FEWEST_TEXTS:
        return 0.0
    words = {
        name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
        for name in label_names
    }
    given_away = sum(
        [name for name, word in words.items() if word.search(text)] == [label]
        for text, label in pairs
    )
    return given_away / len(pairs)


def match_classes(
    own: Sequence[str], wanted: Sequence[str], may_lack: bool = False
) -> np.ndarray:
    """int32 (num_classes,), the index in `wanted` of each of `own`.

    Names match if they are equal or one begins the other, as "neg" does
    "negative". Matching by position instead could turn the classes around.

    Args:
        own: the classes of data.
        wanted: those of a model.
        may_lack: whether the data may have fewer.

    Raises:
        InputError: the numbers do not fit, or a class of the data has no match.
    """
    if len(own) > len(wanted) or (len(own) < len(wanted) and not may_lack):
        advice = (
            "give a file (--test_file) and --skip_bad_rows, which leaves rows of other "
            "classes out"
            if len(own) > len(wanted)
            else "score among the data's classes with --data_classes_only (`sentiment "
            "evaluate`)"
        )
        raise InputError(
            f"The model knows {len(wanted)} classes ({', '.join(wanted)}); the data "
            f"has {len(own)} ({', '.join(own)}), so they do not fit. Take a model of "
            f"these classes, or {advice}."
        )
    found = find_classes(own, wanted)
    if found is None:
        raise InputError(
            f"The model knows the classes {', '.join(wanted)}; the data has "
            f"{', '.join(own)}. Say which is which: --label_names takes the model's "
            "names in the order of the data's classes, --label_map (for files) what "
            "each label means."
        )
    return found


def find_classes(own: Sequence[str], wanted: Sequence[str]) -> np.ndarray | None:
    """As `match_classes`, where `wanted` may name more; `None` if one is not found."""
    matches = [
        [i for i, name in enumerate(wanted) if name == mine]
        or [i for i, name in enumerate(wanted) if one_begins_the_other(name, mine)]
        for mine in own
    ]
    found = {match[0]: None for match in matches if len(match) == 1}
    return np.array(list(found), np.int32) if len(found) == len(own) else None


def one_begins_the_other(a: str, b: str) -> bool:
    """Whether one name may be short for the other, as "neg" for "Negative"."""
    a, b = a.strip().casefold(), b.strip().casefold()
    return bool(a and b) and (a.startswith(b) or b.startswith(a))

"""One table out of several sources, none of its texts a text to be tested on.

Data sets name their classes each in its own way, share texts, and give away each
other's tests. Here their rows become those of one table: one spelling of the classes,
each text once, and none that is to be left out.
"""

import re
import zlib
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from sentiment.config import BUNDLED_DATASETS, GatheredSource
from sentiment.data.cleaning import CJK, clean_text, comparison_key
from sentiment.data.datasets import bundled_files
from sentiment.data.labelled_rows import read_labelled, read_texts
from sentiment.data.labels import is_number, one_begins_the_other
from sentiment.data.sentences import sentences
from sentiment.data.tables.writer import TableWriter
from sentiment.data.tfds_source import read_tfds_labelled, read_tfds_texts
from sentiment.errors import InputError

_CHUNK = 10_000  # rows written at once
_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
# What begins or ends a line in HTML.
_LINE_END = re.compile(
    r"</?(?:br|p|div|li|ul|ol|h[1-6]|tr|table)\b[^<>]*>", re.IGNORECASE
)


@dataclass(frozen=True)
class GatheredRow:
    """A row of the gathered table.

    Attributes:
        text: as in its source; a sentence as it is after cleaning.
        label: name of its class, or `None`.
        source: name of its source.
    """

    text: str
    label: str | None
    source: str


@dataclass
class SourceCounts:
    """What became of the texts of a source.

    Attributes:
        read: texts of the source.
        excluded: texts, or sentences, that were to be left out.
        repeated: texts or sentences that are there already, with the same label or
            without one.
        contradicting: those that are there already with another label.
        of_other_length: those of too few or too many words, and empty ones.
        not_drawn: those that `max_rows` left out.
        labels: rows of the table by label.
    """

    read: int = 0
    excluded: int = 0
    repeated: int = 0
    contradicting: int = 0
    of_other_length: int = 0
    not_drawn: int = 0
    labels: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Gathered:
    """A gathered table.

    Attributes:
        rows: in the order of the sources, and in their order there.
        counts: of each source.
    """

    rows: list[GatheredRow]
    counts: dict[str, SourceCounts]


def gather(
    sources: Mapping[str, GatheredSource],
    excluded: Sequence[GatheredSource] = (),
    seed: int = 0,
) -> Gathered:
    """Reads the texts of all sources.

    A text that occurs more than once stays where it comes first, and labelled sources
    come before others. Case, markup and spacing do not count. A text that is excluded
    gives no sentences either.

    Args:
        sources: by name.
        excluded: sources whose texts must not be in the table, with or without labels,
            and nor must their sentences where `unit` says so. Their `max_rows`,
            `min_words` and `max_words` do nothing.
        seed: of what `max_rows` draws; other sources make no difference to that.

    Raises:
        InputError: a source cannot be read, sources spell a class in two ways, or
            nothing is left.
    """
    # All is read first, so that what is wrong is said within seconds.
    texts_of = {name: _read(source) for name, source in sources.items()}
    _check_names(texts_of)
    forbidden = set()
    for source in excluded:
        for whole, _ in _read(_without_labels(source)):
            units = [whole, *_units(whole, source)]
            forbidden.update(map(comparison_key, units))
    rows, counts, label_of = [], {}, {}
    for name, source in sorted(sources.items(), key=lambda pair: not pair[1].labelled):
        counts[name] = SourceCounts()
        found = dict(
            _new_rows(name, source, texts_of[name], forbidden, label_of, counts[name])
        )
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        kept = _drawn(list(found), source.max_rows, rng)
        counts[name].not_drawn = len(found) - len(kept)
        counts[name].labels.update(found[key].label for key in kept)
        rows += (found[key] for key in kept)
        label_of |= {key: found[key].label for key in kept}
    if not rows:
        all_counts = counts.values()
        raise InputError(
            f"Nothing is left to gather. {sum(c.read for c in all_counts):,} texts "
            "were read; of them and their sentences "
            f"{sum(c.excluded for c in all_counts):,} are to be left out and "
            f"{sum(c.of_other_length for c in all_counts):,} have too few words or too "
            "many."
        )
    return Gathered(rows, counts)


def _without_labels(source: GatheredSource) -> GatheredSource:
    return replace(
        source, labelled=False, label_column="", label_names=(), label_map=()
    )


def write_rows(rows: Sequence[GatheredRow], path: str | Path, overwrite: bool = False):
    """Writes a table with the columns `text`, `label` and `source`.

    Args:
        rows: as of `gather`.
        path: CSV, TSV, JSONL or Parquet.
        overwrite: whether to replace an existing file.

    Raises:
        InputError: the file cannot be written, or exists and not `overwrite`.
    """
    columns = [column.name for column in fields(GatheredRow)]
    with TableWriter(path, overwrite, columns) as writer:
        for start in range(0, len(rows), _CHUNK):
            writer.write([asdict(row) for row in rows[start : start + _CHUNK]])


def _new_rows(
    name: str,
    source: GatheredSource,
    texts: list[tuple[str, str | None]],
    forbidden: set[str],
    before: Mapping[str, str | None],
    counts: SourceCounts,
) -> Iterator[tuple[str, GatheredRow]]:
    """The rows of a source by their key, each once and none that was there before."""
    label_of = ChainMap({}, before)
    for whole, label in tqdm(texts, name, unit=" texts", disable=len(texts) < 5000):
        counts.read += 1
        if comparison_key(whole) in forbidden:
            counts.excluded += 1
            continue
        for text in _units(whole, source):
            key = comparison_key(text)
            num_words = len(_WORD.findall(key))
            if num_words < max(1, source.min_words) or (
                source.max_words and num_words > source.max_words
            ):
                counts.of_other_length += 1
            elif key in forbidden:
                counts.excluded += 1
            elif key not in label_of:
                label_of[key] = label
                yield key, GatheredRow(text, label, name)
            elif label is None or label_of[key] == label:
                counts.repeated += 1
            else:
                counts.contradicting += 1


def _units(text: str, source: GatheredSource) -> list[str]:
    if source.unit == "text":
        return [text]
    # A line of markup ends a sentence, as an empty line does; cleaning would join them.
    broken = _LINE_END.sub("\n\n", text)
    return [clean_text(sentence) for sentence in sentences(broken)]


def _drawn(rows: list, count: int, rng: np.random.Generator) -> list:
    if not count or count >= len(rows):
        return rows
    return [rows[i] for i in np.sort(rng.permutation(len(rows))[:count])]


def _read(source: GatheredSource) -> list[tuple[str, str | None]]:
    """Texts and the names of their labels."""
    if source.dataset and source.dataset not in BUNDLED_DATASETS:
        return _read_tfds(source)
    paths = source.files or _bundled_paths(source)
    read = []
    for path in paths:
        if source.labelled:
            rows = read_labelled(
                path,
                source,
                label_column=source.label_column,
                label_names=source.label_names or None,
                label_map=source.label_map,
            )
            names = (rows.label_names[code] for code in rows.labels)
            read += zip(rows.texts, names, strict=True)
        else:
            read += ((text, None) for text in read_texts(path, source)[0])
    return read


def _read_tfds(source: GatheredSource) -> list[tuple[str, str | None]]:
    place = (source.dataset, source.tfds_data_dir, source.splits, source.text_column)
    if not source.labelled:
        by_split = read_tfds_texts(*place)
        return [(text, None) for texts in by_split.values() for text in texts]
    labelled = read_tfds_labelled(*place, source.label_column, source.label_names)
    return [pair for pairs in labelled.values() for pair in pairs]


def _bundled_paths(source: GatheredSource) -> list[Path]:
    paths = bundled_files(source.dataset)
    missing = [split for split in source.splits if split not in paths]
    if missing:
        raise InputError(
            f"{source.dataset} has no split {missing[0]!r}. It has: {', '.join(paths)}."
        )
    return [paths[split] for split in source.splits]


def _check_names(texts_of: Mapping[str, list[tuple[str, str | None]]]):
    """Raises if sources spell a class in two ways: neg, Negative, or a number.

    Names that one source tells apart are different: very good and very good indeed.
    """
    names_of = {
        source: {label for _, label in texts if label is not None}
        for source, texts in texts_of.items()
    }
    for (one, mine), (other, theirs) in combinations(names_of.items(), 2):
        both_known = mine & theirs
        for a, b in product(sorted(mine - both_known), sorted(theirs - both_known)):
            has_one_number = is_number(a) != is_number(b)
            if has_one_number or (not is_number(a) and one_begins_the_other(a, b)):
                raise InputError(
                    f"{one} has a class {a!r}, {other} one {b!r}. If they are the "
                    "same, give them one name with --label_names or --label_map in the "
                    "source's flagfile."
                )

"""Unlabelled text for language models: reading, leaving out, cutting to rows."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm.auto import tqdm

from sentiment.config import CorpusConfig
from sentiment.data.cleaning import clean_text, comparison_key
from sentiment.data.labelled_rows import read_texts
from sentiment.data.packing import RaggedTokens
from sentiment.data.tfds_source import read_tfds_texts
from sentiment.data.tokenizing import cached_tokens
from sentiment.errors import InputError


class Tokenizer(Protocol):
    """What turns texts into tokens; see `ByteLevelGPT2Tokenizer`."""

    @property
    def start_ids(self) -> tuple[int, ...]: ...

    @property
    def end_ids(self) -> tuple[int, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    def encode_batch(self, texts: list[str]) -> list[list[int]]: ...


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents of a language model.

    No document is in both parts, and none equals an excluded one; case, markup and
    spacing do not count.

    Attributes:
        train: what is learnt from, cleaned.
        validation: what perplexity is measured on, cleaned.
        num_excluded: documents left out because they are in excluded splits or files.
        num_repeated: documents left out because they are empty or repeat another.
        num_skipped_rows: bad rows of own files.
    """

    train: list[str]
    validation: list[str]
    num_excluded: int
    num_repeated: int
    num_skipped_rows: int = 0


def load_corpus(config: CorpusConfig, seed: int, lowercase: bool = False) -> Corpus:
    """Reads, cleans and splits the documents.

    Args:
        config: where they come from, and what is to be left out.
        seed: decides which are for validation.
        lowercase: whether cleaning lowercases.

    Raises:
        InputError: a source cannot be read, or leaves fewer than two documents.
    """
    texts, excluded, num_skipped = _read(config)
    texts, num_excluded, num_repeated = without(texts, excluded)
    documents = [clean_text(text, lowercase) for text in texts]
    order = np.random.default_rng(seed).permutation(len(documents))
    if config.max_documents:
        order = order[: config.max_documents]
    if len(order) < 2:
        raise InputError(
            f"There must be at least two documents, one of them for validation. "
            f"{num_excluded:,} are excluded, {num_repeated:,} repeat another or are "
            f"empty, {len(order)} left."
        )
    count = min(max(1, round(config.validation_fraction * len(order))), len(order) - 1)
    parts = (np.sort(order[count:]), np.sort(order[:count]))
    train, validation = ([documents[i] for i in part] for part in parts)
    return Corpus(train, validation, num_excluded, num_repeated, num_skipped)


def without(
    texts: Sequence[str], excluded: Sequence[str]
) -> tuple[list[str], int, int]:
    """Texts that are not empty, not among `excluded`, and each there once.

    Texts that differ in markup, case and spacing alone count as equal.

    Returns:
        `(texts, num_excluded, num_repeated)`; an empty text counts as repeated.
    """
    forbidden = set(map(comparison_key, excluded))
    kept, seen = [], {""}
    num_excluded = 0
    for text in tqdm(texts, "Reading", unit=" texts", disable=len(texts) < 5000):
        key = comparison_key(text)
        if key in forbidden:
            num_excluded += 1
        elif key not in seen:
            seen.add(key)
            kept.append(text)
    return kept, num_excluded, len(texts) - num_excluded - len(kept)


def _read(config: CorpusConfig) -> tuple[list[str], list[str], int]:
    """Texts, texts to leave out, and the number of bad rows."""
    if config.dataset:
        wanted = (*config.splits, *config.exclude_splits)
        by_split = read_tfds_texts(
            config.dataset, config.tfds_data_dir, wanted, config.text_column
        )
        texts = [text for split in config.splits for text in by_split[split]]
        excluded = [text for split in config.exclude_splits for text in by_split[split]]
    else:
        texts, excluded = [], []
    num_skipped = 0
    files = [(texts, path) for path in config.text_files]
    files += [(excluded, path) for path in config.exclude_files]
    for target, path in files:
        found, skipped = read_texts(path, config)
        target += found
        num_skipped += skipped
    return texts, excluded, num_skipped


@dataclass(frozen=True, eq=False)
class EncodedDocuments:
    """Documents as a language model reads them.

    Attributes:
        tokens: pieces of at most a row's length. A document starts and ends with
            the end-of-text token; a piece that goes on with one repeats its last
            token, so that every token is predicted exactly once.
        num_bytes: of the documents in UTF-8.
    """

    tokens: RaggedTokens
    num_bytes: int

    @property
    def num_targets(self) -> int:
        """Tokens that are predicted: all but the first of each piece."""
        return len(self.tokens.flat) - len(self.tokens)


def encode_documents(
    tokenizer: Tokenizer,
    documents: list[str],
    row_length: int,
    cache_dir: str = "",
) -> EncodedDocuments:
    """Tokenizes cleaned documents and cuts them to pieces.

    Args:
        tokenizer: the model's.
        documents: cleaned texts.
        row_length: tokens of the longest piece.
        cache_dir: folder that keeps the tokens for the next run with the same
            documents and tokenizer; empty: nothing is kept.
    """
    num_bytes = sum(len(text.encode("utf-8", "replace")) for text in documents)
    start, end = tokenizer.start_ids, tokenizer.end_ids

    def encode(texts):
        encoded = tokenizer.encode_batch(texts)
        pieces = [
            p for ids in encoded for p in _pieces([*start, *ids, *end], row_length)
        ]
        return RaggedTokens.from_sequences(pieces), 0

    tokens, _ = cached_tokens(
        documents,
        encode,
        cache_dir,
        Path(__file__).read_bytes(),
        json.dumps(row_length),
        cache_dir and tokenizer.fingerprint,
    )
    return EncodedDocuments(tokens, num_bytes)


def _pieces(ids: list[int], length: int) -> Iterable[list[int]]:
    """Pieces of at most `length`; each begins with the last token of the one before.

    >>> list(_pieces([0, 1, 2, 3, 4], 3))
    [[0, 1, 2], [2, 3, 4]]
    """
    for start in range(0, len(ids) - 1, length - 1):
        yield ids[start : start + length]

"""From examples to batches: clean, tokenize, pack, batch.

Cleaning and tokenizing come first, once, because packing is planned on token
lengths. The plan is a list of row indices; a Grain pipeline turns it into
batches while the model trains.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import grain
import numpy as np

from sentiment.data.examples import Examples
from sentiment.data.packing import (
    RaggedTokens,
    default_max_segments,
    fill_ratio,
    one_per_row,
    pack_rows,
    plan_rows,
)
from sentiment.data.tokenizing import cached_tokens

READ_OPTIONS = grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)


class Encoder(Protocol):
    """What turns texts into tokens; see `GPT2TextClassifierPreprocessor`."""

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: list[str]): ...


@dataclass(frozen=True, eq=False)
class EncodedExamples:
    """Examples as the model reads them.

    Attributes:
        tokens: token ids of each, start and end token included.
        labels: as of `Examples`.
        num_dropped: tokens that truncation left out.
        weights: float32 (N,), of each label in the loss; `None`: 1.
    """

    tokens: RaggedTokens
    labels: np.ndarray
    num_dropped: int
    weights: np.ndarray | None = None

    def joined_with(self, other: "EncodedExamples", weight: float) -> "EncodedExamples":
        """These and `other`, whose labels are probabilities; all are in the result.

        Labels here may be classes or probabilities.

        Args:
            other: examples with float labels.
            weight: of its labels, beside 1 for those here.
        """
        labels = as_probabilities(self.labels, other.labels.shape[1])
        weights = np.repeat(np.float32([1, weight]), [len(self), len(other)])
        return EncodedExamples(
            RaggedTokens.concatenate([self.tokens, other.tokens]),
            np.concatenate([labels, other.labels]),
            self.num_dropped + other.num_dropped,
            weights,
        )

    def __len__(self) -> int:
        return len(self.labels)


def as_probabilities(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Float32 (N, num_classes) of labels that are classes or probabilities."""
    return labels if labels.ndim == 2 else np.eye(num_classes, dtype="f4")[labels]


def encode_examples(
    encoder: Encoder, examples: Examples, cache_dir: str = ""
) -> EncodedExamples:
    """Cleans and tokenizes all examples, with a progress bar for many.

    Args:
        encoder: the model's preprocessor.
        examples: what is read.
        cache_dir: folder that keeps the tokens for the next run with the same
            texts and encoder; empty: nothing is kept.
    """

    def encode(texts):
        encoded = encoder.encode(texts)
        return encoded.tokens, encoded.num_dropped

    tokens, num_dropped = cached_tokens(
        examples.texts, encode, cache_dir, cache_dir and encoder.fingerprint
    )
    return EncodedExamples(tokens, examples.labels, num_dropped)


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """How examples fall into rows and rows into batches, for every epoch.

    Every example is in exactly one row of every epoch. Rows are of one static
    shape; the last batch is filled up with empty rows, so that each step of a
    run has the same shapes and compiles once.

    Attributes:
        examples: what is read.
        batch_rows: rows in a batch.
        row_length: tokens in a row.
        packing: whether examples share rows.
        seed: orders examples and rows anew in each epoch; `None` keeps the
            same order, as evaluation does.
    """

    examples: EncodedExamples
    batch_rows: int
    row_length: int
    packing: bool = True
    seed: int | None = None

    @functools.cached_property
    def max_segments(self) -> int:
        """Slots for examples in a row."""
        if not self.packing:
            return 1
        return default_max_segments(self.examples.tokens.lengths, self.row_length)

    def rows(self, epoch: int) -> list[np.ndarray]:
        """Example indices of each row in one epoch."""
        rng = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        if not self.packing:
            return one_per_row(len(self.examples), rng)
        lengths = self.examples.tokens.lengths
        return plan_rows(lengths, self.row_length, self.max_segments, rng)

    @functools.cached_property
    def num_batches(self) -> int:
        """Batches in an epoch, the same in each."""
        return -(-len(self.rows(0)) // self.batch_rows)

    @property
    def fill_ratio(self) -> float:
        """Share of all positions that an epoch computes which are real tokens."""
        num_rows = self.num_batches * self.batch_rows
        return fill_ratio(self.examples.tokens.lengths, num_rows, self.row_length)

    def batch(self, rows: list[np.ndarray]):
        """`(x, y, sample_weight)` for at most `batch_rows` rows.

        `x` as of `pack_rows`; `y` are the labels and `sample_weight` float32, both
        (batch_rows, max_segments, ...), 0 in unused slots.
        """
        x = self._packed(rows)
        labels, weights = self.examples.labels, self.examples.weights
        y = np.zeros((*x["segment_lengths"].shape, *labels.shape[1:]), labels.dtype)
        sample_weight = (x["segment_lengths"] > 0).astype(np.float32)
        for i, row in enumerate(rows):
            y[i, : len(row)] = labels[row]
            if weights is not None:
                sample_weight[i, : len(row)] = weights[row]
        return x, y, sample_weight

    def _packed(self, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
        return pack_rows(
            self.examples.tokens,
            rows,
            self.row_length,
            self.max_segments,
            self.batch_rows,
        )


@dataclass(frozen=True, eq=False)
class NextTokenPlan(BatchPlan):
    """How documents fall into rows and batches of a language model.

    Attributes:
        examples: `EncodedDocuments`.
    """

    def batch(self, rows: list[np.ndarray]):
        """`(x, y, sample_weight)` for at most `batch_rows` rows.

        `x` as of `pack_rows`; `y` int32 (batch_rows, row_length) is the token after
        each, `sample_weight` float32 is 0 where there is none: in padding and at the
        last token of each segment.
        """
        x = self._packed(rows)
        y = np.roll(x["token_ids"], -1, axis=1)
        ends = np.cumsum(x["segment_lengths"], axis=1)
        sample_weight = np.arange(self.row_length) < ends[:, -1:]
        row, slot = np.nonzero(x["segment_lengths"])
        sample_weight[row, ends[row, slot] - 1] = False
        return x, y, sample_weight.astype(np.float32)


@dataclass(frozen=True, eq=False)
class EqualBatches:
    """Batches of the same number of examples, packed into rows of one shape.

    A batch is an update of so many examples, as in Keras; a batch of `BatchPlan` is
    so many rows. Every example is in exactly one batch of every epoch. Batches that
    are shuffled have long and short examples in about equal parts, so that they fill
    about as many rows: a batch that needs more than any of the first epoch has a
    shape, and a compilation, of its own.

    Attributes:
        examples: what is read.
        batch_size: examples in a batch; the last one has the rest.
        row_length: tokens in a row.
        seed: orders examples anew in each epoch; `None` keeps their order.
    """

    examples: EncodedExamples
    batch_size: int
    row_length: int
    seed: int | None = None

    @property
    def num_batches(self) -> int:
        """Batches in an epoch, the same in each."""
        return -(-len(self.examples) // self.batch_size)

    @functools.cached_property
    def _plan(self) -> BatchPlan:
        """Rows of the shape that all batches of the first epoch fit into."""
        shape = BatchPlan(self.examples, 0, self.row_length)
        rows = [len(self._rows(batch, shape.max_segments)) for batch in self._order(0)]
        return dataclasses.replace(shape, batch_rows=max(rows))

    def _rows(self, batch: np.ndarray, slots: int) -> list[np.ndarray]:
        lengths = self.examples.tokens.lengths[batch]
        return [batch[row] for row in plan_rows(lengths, self.row_length, slots)]

    @functools.cached_property
    def _order(self):
        # Two epochs: reading ahead crosses the border between them.
        return functools.lru_cache(maxsize=2)(self._new_order)

    def _new_order(self, epoch: int) -> list[np.ndarray]:
        """The examples of each batch in one epoch."""
        count, size = len(self.examples), self.batch_size
        if self.seed is None:
            order = np.arange(count)
        else:
            rng = np.random.default_rng([self.seed, epoch])
            order = rng.permutation(count)
            full = count - count % size
            order[:full] = self._balanced(order[:full], rng)
        return [order[start : start + size] for start in range(0, count, size)]

    def _balanced(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Full batches with about as many tokens each.

        Of the longest examples each batch gets one, by chance; of the next ones, too.
        """
        longest_first = order[np.argsort(-self.examples.tokens.lengths[order])]
        tiers = longest_first.reshape(self.batch_size, -1)
        return rng.permuted(tiers, axis=1).T.ravel()

    def batch(self, index: int):
        """`(x, y, sample_weight)` as of `BatchPlan`; batches count on over epochs."""
        epoch, step = divmod(index, self.num_batches)
        plan = self._plan
        rows = self._rows(self._order(epoch)[step], plan.max_segments)
        if len(rows) > plan.batch_rows:
            plan = dataclasses.replace(plan, batch_rows=len(rows))
        return plan.batch(rows)

    def batches(self, epochs: int = 1) -> grain.IterDataset:
        """The batches of all epochs, one after the other."""
        dataset = grain.MapDataset.range(epochs * self.num_batches).map(self.batch)
        return dataset.to_iter_dataset(READ_OPTIONS)


class _PlannedRows(grain.sources.RandomAccessDataSource):
    """Rows of batch `index`, counted on over the epochs."""

    def __init__(self, plan: BatchPlan, epochs: int):
        self._plan = plan
        self._epochs = epochs
        # Two epochs: reading ahead crosses the border between them.
        self._rows = functools.lru_cache(maxsize=2)(plan.rows)

    def __len__(self) -> int:
        return self._epochs * self._plan.num_batches

    def __getitem__(self, index: int) -> list[np.ndarray]:
        epoch, step = divmod(index, self._plan.num_batches)
        size = self._plan.batch_rows
        return self._rows(epoch)[step * size : (step + 1) * size]

    def __repr__(self) -> str:
        return f"_PlannedRows({len(self)} batches)"


def batches(plan: BatchPlan, epochs: int = 1) -> grain.IterDataset:
    """The batches of all epochs, one after the other.

    Keras cannot ask a Grain dataset for its length, so `fit` is to be given
    `steps_per_epoch=plan.num_batches`.
    """
    return batches_of(plan, planned_rows(plan, epochs))


def planned_rows(plan: BatchPlan, epochs: int) -> Sequence[list[np.ndarray]]:
    """The rows of each batch of all epochs, made when they are asked for."""
    return _PlannedRows(plan, epochs)


def batches_of(
    plan: BatchPlan,
    rows: Sequence[list[np.ndarray]],
    part: slice = slice(None),
) -> grain.IterDataset:
    """One batch of each group of rows, made while the model works on the last.

    Args:
        plan: how a batch is made.
        rows: the example indices of each row, for each batch.
        part: which of the batches.
    """
    dataset = grain.MapDataset.source(rows).slice(part).map(plan.batch)
    return dataset.to_iter_dataset(READ_OPTIONS)

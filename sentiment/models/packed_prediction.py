"""Prediction over packed rows: which texts share a batch.

Row length and number of rows come from a short list of sizes, so that any input is
served by a few compiled programs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import keras
import numpy as np
from tqdm.auto import tqdm

from sentiment.data.packing import RaggedTokens, pack_rows, plan_rows

# On a CPU a batch's activations fit its cache, which makes long reviews a fifth
# faster; elsewhere a batch keeps large products busy, and fits a small memory.
BATCH_TOKENS = {"cpu": 2048}
BATCH_TOKENS_ELSEWHERE = 8192
SHORTEST_ROW = 32
# From so many on, rows of five lengths are worth four compilations more.
MANY_BATCHES = 32
WINDOW_CHARACTERS = 4_000_000
SHOW_PROGRESS = 1000  # texts


def batch_tokens() -> int:
    """Tokens that prediction computes at once."""
    return BATCH_TOKENS.get(jax.default_backend(), BATCH_TOKENS_ELSEWHERE)


def packed_batches(
    tokens: RaggedTokens, longest_row: int, batch_size: int | None = None
) -> Iterator[tuple[list[np.ndarray], dict]]:
    """Batches that hold each text once.

    Args:
        tokens: at least one text.
        longest_row: int, tokens that a row may have.
        batch_size: int, rows in a batch; `None`: as many as `batch_tokens` fill.

    Yields:
        `(rows, batch)`: indices of the texts in each row, in the order of its slots,
        and what the model reads, shared out over the devices.
    """
    longest = int(tokens.lengths.max(initial=1))
    row_length = min(_round_up(longest, smallest=SHORTEST_ROW), longest_row)
    plans = [_rows_of(tokens.lengths, np.full(len(tokens), row_length), batch_size)]
    if not batch_size and tokens.flat.size >= MANY_BATCHES * batch_tokens():
        fitting = _fitting_lengths(tokens.lengths, row_length)
        plans.append(_rows_of(tokens.lengths, fitting, batch_size))
    for group in min(plans, key=lambda plan: sum(group.positions for group in plan)):
        max_segments = _round_up(max(map(len, group.rows), default=1), smallest=8)
        for i in range(0, len(group.rows), group.batch_rows):
            chunk = group.rows[i : i + group.batch_rows]
            batch = pack_rows(
                tokens, chunk, group.row_length, max_segments, group.batch_rows
            )
            yield chunk, _sharded(batch)


@dataclass(frozen=True)
class _Group:
    """Rows of one length, and how many of them are a batch."""

    row_length: int
    rows: list[np.ndarray]
    batch_rows: int

    @property
    def positions(self) -> int:
        """Tokens that are computed, padding included."""
        num_batches = -(-len(self.rows) // self.batch_rows)
        return num_batches * self.batch_rows * self.row_length


def _rows_of(
    lengths: np.ndarray, row_lengths: np.ndarray, batch_size: int | None
) -> list[_Group]:
    """Texts packed with those that share the length of their row."""
    groups = []
    for row_length in np.unique(row_lengths).tolist():
        members = np.flatnonzero(row_lengths == row_length)
        rows = plan_rows(lengths[members], row_length, max(1, row_length // 4))
        most = batch_size or max(1, batch_tokens() // row_length)
        batch_rows = even_batch_rows(len(rows), most, _num_devices())
        groups.append(_Group(row_length, [members[row] for row in rows], batch_rows))
    return groups


def _fitting_lengths(lengths: np.ndarray, longest_row: int) -> np.ndarray:
    """The length of each text's row: up to the next eighth, from the half on.

    Two texts of more than half a row each never share it; a row that fits wastes less.
    """
    step = -(-longest_row // 64) * 8
    return np.clip(-(-lengths // step) * step, longest_row // 2, longest_row)


class _NoBar:
    """Instead of a bar of tqdm that is hidden, which still takes a lock.

    All bars share that lock, and an interruption at the wrong moment never gives it
    back: other threads would then wait for ever.
    """

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, count: int):
        """Shows nothing."""


def progress_bar(total: int, verbose) -> "tqdm | _NoBar":
    """A bar over texts; `"auto"` shows it for many, 0 never."""
    if not verbose or (verbose == "auto" and total < SHOW_PROGRESS):
        return _NoBar()
    return tqdm(total=total, desc="Predicting", unit=" texts")


def windows(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Splits texts into ranges of bounded size, so memory stays bounded."""
    start, characters = 0, 0
    for i, text in enumerate(texts):
        characters += len(text)
        if characters >= WINDOW_CHARACTERS:
            yield start, i + 1
            start, characters = i + 1, 0
    if start < len(texts):
        yield start, len(texts)


def _round_up(value, smallest):
    """The least `smallest * 2**n` that holds `value`."""
    size = smallest
    while size < value:
        size *= 2
    return size


def even_batch_rows(num_rows, limit, num_devices):
    """Rows of each batch, so that batches of one size hold all with few to spare.

    Sizes come from a short list, the powers of 2 and eighths of `limit`, since
    each takes a compilation.
    """
    num_batches = -(-num_rows // limit)
    even = -(-num_rows // max(num_batches, 1))
    eighth = max(limit // 8, 1)
    size = min(_round_up(even, smallest=1), -(-even // eighth) * eighth)
    return -(-min(size, limit) // num_devices) * num_devices


def _sharded(batch):
    """Shares the rows out over the devices of the current distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    return {
        name: keras.distribution.distribute_tensor(
            array, distribution.get_data_layout(array.shape)
        )
        for name, array in batch.items()
    }


def _num_devices():
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.device_mesh.shape[0]

"""Packing: several token sequences share one row, so no time goes into padding.

Planning happens on lengths alone, in NumPy, before any row is built. It is
best-fit decreasing bin packing: sequences go longest first into the fullest
row that still has room. The number of rows depends on the multiset of lengths
only, so every epoch of a training run has the same number of steps, while
sequences of equal length swap places from epoch to epoch.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROW_LENGTH_STEP = 32
ROW_LENGTH_SAMPLE = 20_000  # sequences; enough to rank row lengths
# Time of attention for each position of the row, in products of width
# `hidden_dim`: softmax, mask and small products run at a quarter of the speed
# of the large ones (benchmarks/README.md).
ATTENTION_COST = 4


@dataclass(frozen=True)
class RaggedTokens:
    """Token sequences of different lengths in one flat array.

    Attributes:
        flat: int32 (total_tokens,), the sequences one after the other.
        offsets: int64 (num_sequences + 1,), sequence i is
            `flat[offsets[i]:offsets[i + 1]]`.
    """

    flat: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_sequences(cls, sequences: Sequence[Sequence[int]]) -> "RaggedTokens":
        """Joins a list of token id sequences."""
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        flat = np.empty(offsets[-1], np.int32)
        for sequence, start, end in zip(sequences, offsets, offsets[1:], strict=False):
            flat[start:end] = sequence
        return cls(flat, offsets)

    @classmethod
    def concatenate(cls, parts: Sequence["RaggedTokens"]) -> "RaggedTokens":
        """Joins several ragged arrays end to end."""
        lengths = np.concatenate([part.lengths for part in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(np.concatenate([part.flat for part in parts]), offsets)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (num_sequences,), tokens in each sequence."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.flat[self.offsets[index] : self.offsets[index + 1]]


def plan_rows(
    lengths: np.ndarray,
    row_length: int,
    max_segments: int,
    rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """Assigns every sequence to one row, by best-fit decreasing.

    Example: lengths [3, 5, 2, 4] in rows of 7. Longest first: 5 opens row 0
    (2 left), 4 opens row 1 (3 left), 3 fits row 1 exactly, 2 fits row 0.
    >>> [row.tolist() for row in plan_rows(np.array([3, 5, 2, 4]), 7, 8)]
    [[1, 2], [3, 0]]

    Args:
        lengths: int (num_sequences,), each between 1 and `row_length`.
        row_length: tokens in a row.
        max_segments: sequences in a row at most.
        rng: shuffles which of the sequences of equal length goes where and
            the order of the rows. The number of rows does not depend on it.

    Returns:
        One int array of sequence indices per row; each index occurs once.

    Raises:
        ValueError: a length is below 1 or above `row_length`.
    """
    lengths = np.asarray(lengths)
    if len(lengths) and not (lengths.min() >= 1 and lengths.max() <= row_length):
        raise ValueError(
            f"Every length must be between 1 and row_length={row_length}. "
            f"Received lengths from {lengths.min()} to {lengths.max()}."
        )
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]

    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}  # free tokens -> rows with that many
    free_sizes: list[int] = []  # sorted keys of open_rows
    for index in order.tolist():
        length = int(lengths[index])
        fitting = bisect.bisect_left(free_sizes, length)
        if fitting == len(free_sizes):
            row, free = len(rows), row_length
            rows.append([])
        else:
            free = free_sizes[fitting]
            row = open_rows[free].pop()
            if not open_rows[free]:
                del open_rows[free], free_sizes[fitting]
        rows[row].append(index)
        free -= length
        if free > 0 and len(rows[row]) < max_segments:
            if free not in open_rows:
                open_rows[free] = []
                bisect.insort(free_sizes, free)
            open_rows[free].append(row)

    if rng is not None:
        rows = [rows[i] for i in rng.permutation(len(rows))]
    return [np.array(row, np.int64) for row in rows]


def one_per_row(
    num_sequences: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """The plan without packing: each sequence has a row of its own."""
    order = np.arange(num_sequences) if rng is None else rng.permutation(num_sequences)
    return [np.array([index], np.int64) for index in order]


def pack_rows(
    tokens: RaggedTokens,
    rows: Sequence[np.ndarray],
    row_length: int,
    max_segments: int,
    num_rows: int | None = None,
) -> dict[str, np.ndarray]:
    """Builds the model's inputs for planned rows.

    Example: sequences [7, 8, 9] and [5, 6] in one row of 6.
    >>> tokens = RaggedTokens.from_sequences([[7, 8, 9], [5, 6]])
    >>> batch = pack_rows(tokens, [np.array([0, 1])], 6, 3)
    >>> batch["token_ids"].tolist(), batch["segment_lengths"].tolist()
    ([[7, 8, 9, 5, 6, 0]], [[3, 2, 0]])

    Args:
        tokens: the sequences that `rows` refers to.
        rows: sequence indices of each row, from `plan_rows`.
        row_length: tokens in a row; the rest is padding with id 0.
        max_segments: slots for sequences in a row.
        num_rows: rows of the batch; missing ones are empty. Defaults to
            `len(rows)`.

    Returns:
        `token_ids` int32 (num_rows, row_length) and `segment_lengths` int32
        (num_rows, max_segments), 0 in unused slots. Padding is known from
        the lengths alone, never from a token id: 0 is also a real token.
    """
    num_rows = len(rows) if num_rows is None else num_rows
    token_ids = np.zeros((num_rows, row_length), np.int32)
    segment_lengths = np.zeros((num_rows, max_segments), np.int32)
    for i, row in enumerate(rows):
        start = 0
        for slot, index in enumerate(row):
            sequence = tokens[index]
            token_ids[i, start : start + len(sequence)] = sequence
            segment_lengths[i, slot] = len(sequence)
            start += len(sequence)
    return {"token_ids": token_ids, "segment_lengths": segment_lengths}


def fill_ratio(lengths: np.ndarray, num_rows: int, row_length: int) -> float:
    """Share of the positions of `num_rows` rows that hold real tokens."""
    return float(np.sum(lengths) / (num_rows * row_length)) if num_rows else 0.0


def choose_row_length(
    lengths: np.ndarray, limit: int, hidden_dim: int, intermediate_dim: int
) -> int:
    """The row length with which an epoch costs the least time.

    Longer rows fill up better, shorter ones attend over less. Tried are the
    longest sequence, rounded up to a multiple of 32, and its doubles; a row
    costs its positions times the decoder's products for each.

    Args:
        lengths: int (num_sequences,), tokens of each.
        limit: the greatest length that is tried.
        hidden_dim: of the decoder.
        intermediate_dim: of its feed-forward layers.
    """
    lengths = np.asarray(lengths)
    longest = int(lengths.max(initial=1))
    sample = lengths[:: max(1, len(lengths) // ROW_LENGTH_SAMPLE)]
    candidate = min(
        -(-longest // ROW_LENGTH_STEP) * ROW_LENGTH_STEP, max(limit, longest)
    )
    costs = {}
    while candidate not in costs:
        rows = plan_rows(sample, candidate, default_max_segments(sample, candidate))
        dense = 4 * hidden_dim**2 + 2 * hidden_dim * intermediate_dim
        attention = ATTENTION_COST * hidden_dim * candidate
        costs[candidate] = len(rows) * candidate * (dense + attention)
        candidate = min(2 * candidate, max(limit, longest))
    return min(costs, key=costs.get)


def default_max_segments(lengths: np.ndarray, row_length: int) -> int:
    """Slots per row that let rows fill up without wasting pooling work.

    Four times the average need, and at least 8: enough for rows that collect
    short sequences, while the pooled array stays small.
    """
    if len(lengths) == 0:
        return 1
    needed = int(np.ceil(4 * row_length / max(1.0, float(np.mean(lengths)))))
    return min(max(8, needed), row_length, len(lengths))

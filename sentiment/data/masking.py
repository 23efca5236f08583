"""Batches of a masked language model: some tokens are hidden, to be found again."""

import math
from dataclasses import dataclass

import numpy as np

from sentiment.data.pipeline import BatchPlan

HIDDEN_SHARE, RANDOM_SHARE = 0.8, 0.1  # the rest is shown as it is


@dataclass(frozen=True, eq=False)
class MaskedTokenPlan(BatchPlan):
    """How documents fall into batches, and which of their tokens are to be found.

    Of each row a fixed share of the tokens is drawn. Of these 80% are hidden behind the
    mask, 10% behind a random token, and 10% are left (Devlin et al. 2019, section 3.1).
    They are drawn anew in each epoch; a seed of `None` always draws the same.

    Attributes:
        examples: `EncodedDocuments`.
        mask_id: the token that hides others.
        vocabulary_size: random tokens are below it.
        mask_share: of the tokens of a row.
        special_ids: tokens that are never drawn, those of the frame.
    """

    mask_id: int = 0
    vocabulary_size: int = 0
    mask_share: float = 0.15
    special_ids: tuple[int, ...] = ()

    @property
    def num_masked(self) -> int:
        """Places for tokens that are to be found, in each row."""
        return math.ceil(self.mask_share * self.row_length)

    def batch(self, rows: list[np.ndarray]):
        """`(x, y, sample_weight)` for at most `batch_rows` rows.

        `x` as of `pack_rows` with tokens hidden, and `masked_positions` int32
        (batch_rows, num_masked); `y` int32 of this shape is what stood there,
        `sample_weight` float32 is 0 in unused places.
        """
        x = self._packed(rows)
        token_ids = x["token_ids"]
        # The rows of a batch are others in each epoch, and so is what is drawn.
        rng = np.random.default_rng([self.seed or 0, *map(int, np.concatenate(rows))])
        length = x["segment_lengths"].sum(axis=1, keepdims=True)
        may_be_drawn = np.arange(self.row_length) < length
        may_be_drawn &= ~np.isin(token_ids, self.special_ids)
        order = np.where(may_be_drawn, rng.random(token_ids.shape), 2.0)
        positions = np.argsort(order, axis=1)[:, : self.num_masked].astype(np.int32)
        wanted = np.ceil(self.mask_share * may_be_drawn.sum(axis=1, keepdims=True))
        is_used = np.arange(self.num_masked) < wanted
        y = np.take_along_axis(token_ids, positions, axis=1)
        chance = rng.random(positions.shape)
        others = rng.integers(self.vocabulary_size, size=positions.shape)
        shown = np.where(chance < HIDDEN_SHARE + RANDOM_SHARE, others, y)
        shown = np.where(chance < HIDDEN_SHARE, self.mask_id, shown)
        shown = np.where(is_used, shown, y).astype(token_ids.dtype)
        np.put_along_axis(token_ids, positions, shown, axis=1)
        x = {**x, "masked_positions": positions}
        return x, y, is_used.astype(np.float32)

"""What a masked language model is shown, and what it is to find."""

import numpy as np
import pytest

from sentiment.data.corpus import EncodedDocuments
from sentiment.data.masking import MaskedTokenPlan
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import planned_rows

START, END, MASK, SIZE, ROW = 1, 2, 3, 500, 40
RNG = np.random.default_rng(0)
DOCUMENTS = [[START, *RNG.integers(10, 400, n), END] for n in [18] * 60 + [3, 30, 1]]


def make_plan(share=0.15, seed=0, rows=4):
    tokens = RaggedTokens.from_sequences(DOCUMENTS)
    return MaskedTokenPlan(
        EncodedDocuments(tokens, 1),
        rows,
        ROW,
        seed=seed,
        mask_id=MASK,
        vocabulary_size=SIZE,
        mask_share=share,
        special_ids=(START, END),
    )


def rows_of(plan, epochs=1):
    rows = planned_rows(plan, epochs)
    return [rows[i] for i in range(len(rows))]


def batches_of(plan, epochs=1):
    return [plan.batch(rows) for rows in rows_of(plan, epochs)]


@pytest.mark.parametrize("share", [0.15, 0.5, 0.01])
def test_hidden_tokens_are_those_of_the_documents(share):
    plan = make_plan(share)
    found, real = 0, 0
    for rows, (x, y, weights) in zip(rows_of(plan), batches_of(plan), strict=True):
        original = plan._packed(rows)["token_ids"]
        positions, token_ids = x["masked_positions"], x["token_ids"]
        assert positions.shape == y.shape == weights.shape == (4, plan.num_masked)
        assert positions.dtype == token_ids.dtype == y.dtype == np.int32
        np.testing.assert_array_equal(
            y, np.take_along_axis(original, positions, axis=1)
        )
        # All else is shown as it is: padding, the frame, and what is not drawn.
        drawn = np.zeros(token_ids.shape, bool)
        for row in range(4):
            used = positions[row][weights[row] > 0]
            assert len(set(used)) == len(used)
            drawn[row, used] = True
        np.testing.assert_array_equal(token_ids[~drawn], original[~drawn])
        assert not (drawn & np.isin(original, (START, END, 0))).any()
        maskable = (original >= 10).sum(axis=1)
        np.testing.assert_array_equal(weights.sum(axis=1), np.ceil(share * maskable))
        found, real = found + weights.sum(), real + maskable.sum()
    assert real == sum(len(document) - 2 for document in DOCUMENTS)


def test_most_are_hidden_some_are_wrong_and_some_are_shown():
    x, y, weights = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (np.take_along_axis(x["token_ids"], x["masked_positions"], 1), y, w)
                for x, y, w in batches_of(make_plan(0.5), epochs=20)
            ),
            strict=True,
        )
    )
    used = weights > 0
    is_mask, is_same = (x == MASK)[used], (x == y)[used]
    assert is_mask.mean() == pytest.approx(0.8, abs=0.01)
    assert is_same.mean() == pytest.approx(0.1, abs=0.01)
    random = x[used][~is_mask & ~is_same]
    assert random.min() < 30 and random.max() > SIZE - 30
    assert random.max() < SIZE


def test_the_same_seed_hides_the_same_and_each_epoch_others():
    def shown(plan, epochs):
        return [x["token_ids"].tobytes() for x, _, _ in batches_of(plan, epochs)]

    both = shown(make_plan(), 2)
    assert both == shown(make_plan(), 2)
    assert both != shown(make_plan(seed=1), 2)
    plan = make_plan(seed=None)
    half = plan.num_batches
    again = shown(plan, 2)
    assert again[:half] == again[half:]  # validation
    # A document that fills a row alone is masked anew, too.
    places = [
        np.flatnonzero(row == MASK).tolist()
        for x, _, _ in batches_of(make_plan(), 2)
        for row in x["token_ids"]
        if (row[:32] == START).sum() == 1 and row[31] == END
    ]
    assert len(places) == 2 and places[0] != places[1]

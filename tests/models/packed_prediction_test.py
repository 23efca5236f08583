import threading

import numpy as np
import pytest
from tqdm.auto import tqdm

from sentiment.data.packing import RaggedTokens
from sentiment.models.packed_prediction import (
    SHOW_PROGRESS,
    packed_batches,
    progress_bar,
)


@pytest.mark.parametrize(
    ("total", "verbose"), [(SHOW_PROGRESS - 1, "auto"), (10**6, 0), (10**6, False)]
)
def test_a_hidden_bar_waits_for_no_lock(total, verbose, capsys):
    """An interrupted thread may have kept the one that all bars share."""

    def update():
        with progress_bar(total, verbose) as bar:
            bar.update(total)

    with tqdm.get_lock():
        thread = threading.Thread(target=update, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("total", "verbose"), [(SHOW_PROGRESS, "auto"), (1, 1)])
def test_a_bar_is_shown_for_many_texts_or_on_demand(total, verbose, capsys):
    with progress_bar(total, verbose) as bar:
        bar.update(total)
    assert f"{total}/{total}" in capsys.readouterr().err


# --- Rows


def batches_of(lengths, longest_row=256, batch_size=None):
    """Texts of these lengths, each with its number for a token, in batches."""
    sequences = [np.full(n, i) for i, n in enumerate(lengths)]
    tokens = RaggedTokens.from_sequences(sequences)
    return list(packed_batches(tokens, longest_row, batch_size))


def computed(batches):
    return sum(batch["token_ids"].size for _, batch in batches)


def check_each_once(batches, lengths):
    seen = []
    for rows, batch in batches:
        for place, row in enumerate(rows):
            expected = np.concatenate([np.full(lengths[i], i) for i in row])
            held = batch["token_ids"][place, : len(expected)]
            np.testing.assert_array_equal(held, expected)
            used = batch["segment_lengths"][place, : len(row)]
            assert used.tolist() == [lengths[i] for i in row]
            seen += list(row)
    assert sorted(seen) == list(range(len(lengths)))


def test_many_texts_of_more_than_half_a_row_get_rows_that_fit():
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.integers(120, 320, 700), 256)
    batches = batches_of(lengths)
    check_each_once(batches, lengths)
    widths = {batch["token_ids"].shape[1] for _, batch in batches}
    assert widths == {128, 160, 192, 224, 256}
    # In rows of one length, of which no two such texts share one, more is computed.
    in_one = batches_of(lengths, batch_size=8)
    check_each_once(in_one, lengths)
    assert {batch["token_ids"].shape[1] for _, batch in in_one} == {256}
    assert computed(batches) < 0.95 * computed(in_one)


@pytest.mark.parametrize(
    "lengths", [[130, 140, 200] * 20, [64] * 2000, [300, 100] * 200], ids=len
)
def test_rows_have_one_length_where_that_is_no_worse(lengths):
    batches = batches_of(lengths, longest_row=400)
    check_each_once(batches, lengths)
    assert len({batch["token_ids"].shape[1] for _, batch in batches}) == 1


@pytest.mark.parametrize("longest_row", [300, 256, 31, 8])
def test_any_length_of_rows_will_do(longest_row):
    lengths = np.random.default_rng(0).integers(1, longest_row + 1, 20_000)
    lengths = lengths[: 2 + np.searchsorted(lengths.cumsum(), 100_000)]
    batches = batches_of(lengths, longest_row)
    check_each_once(batches, lengths)
    assert max(batch["token_ids"].shape[1] for _, batch in batches) <= longest_row

import itertools

import numpy as np
import pytest

import sentiment
from sentiment.data import tokenizing
from sentiment.data.corpus import EncodedDocuments
from sentiment.data.examples import Examples
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import (
    BatchPlan,
    EncodedExamples,
    EqualBatches,
    NextTokenPlan,
    batches,
    batches_of,
    encode_examples,
    planned_rows,
)

ROW_LENGTH = 16
NUM_EXAMPLES = 57


@pytest.fixture(scope="module")
def examples():
    """Example i is up to 16 times the token i + 1, its label i % 3."""
    lengths = np.random.default_rng(0).integers(1, ROW_LENGTH + 1, NUM_EXAMPLES)
    sequences = [[i + 1] * length for i, length in enumerate(lengths)]
    labels = np.arange(NUM_EXAMPLES, dtype=np.int32) % 3
    return EncodedExamples(RaggedTokens.from_sequences(sequences), labels, 0)


@pytest.fixture
def make_plan(examples):
    def make(batch_rows=4, **settings):
        return BatchPlan(examples, batch_rows, ROW_LENGTH, **settings)

    return make


def read(batch):
    """The examples in a batch, as (index, number of tokens, label) each."""
    x, y, weight = batch
    found = []
    for ids, lengths, labels, weights in zip(
        x["token_ids"], x["segment_lengths"], y, weight, strict=True
    ):
        parts = np.split(ids, np.cumsum(lengths))
        for part, length, label, slot in zip(
            parts[:-1], lengths, labels, weights, strict=True
        ):
            assert slot == (length > 0)
            if length:
                assert len(set(part)) == 1, "an example is cut or mixed"
                found.append((int(part[0]) - 1, len(part), int(label)))
        assert not parts[-1].any()
    return found


def read_epochs(plan, epochs):
    """The examples of each epoch, in the order of training."""
    stream = iter(batches(plan, epochs))
    result = [
        [e for batch in itertools.islice(stream, plan.num_batches) for e in read(batch)]
        for _ in range(epochs)
    ]
    assert next(stream, None) is None
    return result


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("batch_rows", [1, 4, 7])
def test_every_example_comes_once_an_epoch_whole_and_with_its_label(
    make_plan, examples, packing, seed, batch_rows
):
    plan = make_plan(batch_rows, packing=packing, seed=seed)
    lengths = examples.tokens.lengths
    expected = [(i, lengths[i], i % 3) for i in range(NUM_EXAMPLES)]
    for epoch in read_epochs(plan, 3):
        assert sorted(epoch) == expected


def test_empty_rows_of_the_last_batch_weigh_nothing(make_plan):
    plan = make_plan(4, packing=False)
    *whole, last = batches(plan)
    assert [batch[2].sum() for batch in whole] == [4.0] * 14
    x, y, weight = last  # 57 = 14 * 4 + 1
    assert weight.tolist() == [[1], [0], [0], [0]]
    assert not x["segment_lengths"][1:].any()
    assert not x["token_ids"][1:].any()
    assert not y[1:].any()


def test_weights_of_an_epoch_sum_to_its_examples(make_plan):
    for packing in (True, False):
        plan = make_plan(8, packing=packing, seed=1)
        assert sum(batch[2].sum() for batch in batches(plan)) == NUM_EXAMPLES


def test_every_epoch_has_the_same_number_of_batches(make_plan):
    for packing in (True, False):
        plan = make_plan(4, packing=packing, seed=5)
        for epoch in range(10):
            assert -(-len(plan.rows(epoch)) // 4) == plan.num_batches
    assert make_plan(4, packing=False).num_batches == 15
    assert make_plan(57, packing=False).num_batches == 1


def test_shapes_and_types_are_the_same_in_every_batch(make_plan):
    plan = make_plan(5, seed=0)
    slots = plan.max_segments
    for x, y, weight in batches(plan, 2):
        assert x["token_ids"].shape == (5, ROW_LENGTH)
        assert x["segment_lengths"].shape == y.shape == weight.shape == (5, slots)
        assert x["token_ids"].dtype == x["segment_lengths"].dtype == np.int32
        assert (y.dtype, weight.dtype) == (np.int32, np.float32)


def test_without_packing_a_row_holds_one_example(make_plan):
    plan = make_plan(4, packing=False, seed=0)
    assert plan.max_segments == 1
    assert plan.fill_ratio == plan.examples.tokens.lengths.sum() / (60 * ROW_LENGTH)


def test_packing_needs_fewer_batches_and_fills_them(make_plan):
    packed, unpacked = make_plan(packing=True), make_plan(packing=False)
    assert packed.num_batches < 0.75 * unpacked.num_batches
    ratio = packed.fill_ratio / unpacked.fill_ratio
    assert ratio == pytest.approx(unpacked.num_batches / packed.num_batches, rel=1e-12)


@pytest.mark.parametrize("packing", [True, False])
def test_each_epoch_is_shuffled_anew(make_plan, packing):
    first, second, third = read_epochs(make_plan(packing=packing, seed=0), 3)
    assert first != second != third != first


def test_examples_of_one_length_change_neighbours_between_epochs():
    ones = RaggedTokens.from_sequences([[i] * 4 for i in range(40)])
    plan = BatchPlan(EncodedExamples(ones, np.zeros(40, np.int32), 0), 4, 16, seed=0)
    rows = [{frozenset(row.tolist()) for row in plan.rows(e)} for e in (0, 1)]
    assert len(rows[0] & rows[1]) < 5


@pytest.mark.parametrize("packing", [True, False])
def test_evaluation_keeps_one_order(make_plan, packing):
    first, second = read_epochs(make_plan(packing=packing), 2)
    assert first == second


def test_the_seed_decides_the_order(make_plan):
    orders = [read_epochs(make_plan(seed=seed), 2) for seed in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_a_later_epoch_does_not_repeat_another_seeds_earlier_one(make_plan):
    assert read_epochs(make_plan(seed=0), 2)[1] != read_epochs(make_plan(seed=1), 1)[0]


def test_one_order_is_pinned():
    """Fails when an upgrade changes what a seed means."""
    tokens = RaggedTokens.from_sequences([[1] * n for n in (3, 5, 2, 4, 3, 3, 2, 6)])
    encoded = EncodedExamples(tokens, np.zeros(8, np.int32), 0)
    packed = BatchPlan(encoded, 2, 8, seed=0)
    assert [[row.tolist() for row in packed.rows(epoch)] for epoch in (0, 1)] == [
        [[1, 4], [3, 5], [7, 2], [0, 6]],
        [[5, 2], [1, 0], [3, 4], [7, 6]],
    ]
    unpacked = BatchPlan(encoded, 2, 8, packing=False, seed=0)
    assert np.concatenate(unpacked.rows(0)).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]


# --- Encoding


@pytest.fixture
def preprocessor(tokenizer):
    return sentiment.GPT2TextClassifierPreprocessor(tokenizer, sequence_length=12)


def test_encoding_in_chunks_changes_nothing(preprocessor, monkeypatch):
    texts = [f"<b>Film</b> number {i}" + "!" * (i % 9) for i in range(25)]
    labels = np.arange(25, dtype=np.int32)
    whole = encode_examples(preprocessor, Examples(texts, labels))
    monkeypatch.setattr(tokenizing, "CHUNK", 4)
    chunked = encode_examples(preprocessor, Examples(texts, labels))
    np.testing.assert_array_equal(chunked.tokens.flat, whole.tokens.flat)
    np.testing.assert_array_equal(chunked.tokens.offsets, whole.tokens.offsets)
    np.testing.assert_array_equal(chunked.labels, labels)
    assert chunked.num_dropped == whole.num_dropped > 0
    assert len(chunked) == 25


def test_labels_stay_with_their_texts_from_string_to_batch(preprocessor, tokenizer):
    texts = [f"text {i}" for i in range(30)]
    encoded = encode_examples(preprocessor, Examples(texts, np.arange(30)))
    seen = {}
    for x, y, weight in batches(BatchPlan(encoded, 4, 32, seed=0)):
        for ids, lengths, labels, weights in zip(
            x["token_ids"], x["segment_lengths"], y, weight, strict=True
        ):
            parts = np.split(ids, np.cumsum(lengths))[:-1]
            for part, label in itertools.compress(
                zip(parts, labels, strict=True), weights
            ):
                seen[tokenizer.detokenize(part[1:-1].tolist())] = label
    assert seen == {text: i for i, text in enumerate(texts)}


def test_next_token_plan_by_hand():
    tokens = RaggedTokens.from_sequences([[7, 8, 9], [5, 6]])
    plan = NextTokenPlan(EncodedDocuments(tokens, 5), 2, 6)
    x, y, weight = plan.batch([np.array([0, 1])])
    assert x["token_ids"].tolist() == [[7, 8, 9, 5, 6, 0], [0] * 6]
    wanted = [[True, True, False, True, False, False], [False] * 6]
    assert (weight > 0).tolist() == wanted
    assert y[0][weight[0] > 0].tolist() == [8, 9, 6]
    assert weight.dtype == np.float32


def test_batches_of_a_part_are_those_of_the_whole(make_plan):
    plan = make_plan(seed=3)
    rows = planned_rows(plan, 2)
    whole = list(batches_of(plan, rows))
    part = list(batches_of(plan, rows, slice(2, 5)))
    assert len(part) == 3
    for one, other in zip(part, whole[2:5], strict=True):
        np.testing.assert_array_equal(one[0]["token_ids"], other[0]["token_ids"])


# --- Labels that are probabilities


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_joined_examples_are_all_read_with_their_labels(examples, weight):
    probabilities = np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]], np.float32)
    tokens = RaggedTokens.from_sequences([[90, 90], [91]])
    joined = examples.joined_with(EncodedExamples(tokens, probabilities, 4), weight)
    assert len(joined) == NUM_EXAMPLES + 2
    assert joined.num_dropped == 4
    plan = BatchPlan(joined, 4, ROW_LENGTH, seed=0)
    found = {}
    for x, y, sample_weight in batches(plan):
        assert y.dtype == np.float32
        for ids, lengths, labels, weights in zip(
            *x.values(), y, sample_weight, strict=True
        ):
            starts = np.cumsum(lengths) - lengths
            for slot in np.flatnonzero(lengths):
                first = int(ids[starts[slot]])
                assert weights[slot] == (weight if first in (90, 91) else 1)
                found[first] = labels[slot].tolist()
            assert not labels[lengths == 0].any()
    assert found.pop(90) == probabilities[0].tolist()
    assert found.pop(91) == probabilities[1].tolist()
    certain = np.eye(3).tolist()
    assert found == {i + 1: certain[i % 3] for i in range(NUM_EXAMPLES)}


def test_tokens_in_the_cache_are_those_of_the_same_reader(tokenizer, tmp_path):
    examples = Examples(["A GREAT film", "so boring"], np.array([1, 0]))
    readers = [
        sentiment.GPT2TextClassifierPreprocessor(tokenizer, **reading)
        for reading in ({}, {"lowercase": True}, {"sequence_length": 5}, {})
    ]
    for reader in readers:
        found = encode_examples(reader, examples, str(tmp_path))
        expected = encode_examples(reader, examples)
        np.testing.assert_array_equal(found.tokens.flat, expected.tokens.flat)
        assert found.num_dropped == expected.num_dropped


# --- Batches of the same number of examples


@pytest.fixture
def equal(examples):
    def make(batch_size=8, seed=0, row_length=32):
        return EqualBatches(examples, batch_size, row_length, seed)

    return make


def texts_of_batches(plan, epochs):
    """What is in each batch, as of `read`."""
    return [sorted(read(batch)) for batch in plan.batches(epochs)]


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("batch_size", [1, 7, 8, 1000])
def test_each_example_is_in_one_batch_of_so_many(equal, examples, batch_size, seed):
    plan = equal(batch_size, seed)
    epochs = texts_of_batches(plan, 2)
    count = -(-len(examples) // batch_size)
    assert plan.num_batches == count
    assert len(epochs) == 2 * count
    lengths = examples.tokens.lengths
    everything = [(i, lengths[i], i % 3) for i in range(NUM_EXAMPLES)]
    for epoch in (epochs[:count], epochs[count:]):
        assert sorted(itertools.chain(*epoch)) == everything
        full = min(batch_size, len(examples))
        assert [len(batch) for batch in epoch[:-1]] == [full] * (count - 1)


def test_equal_batches_come_in_another_order_by_the_seed(equal):
    both = texts_of_batches(equal(), 2)
    half = len(both) // 2
    assert both[:half] != both[half:]
    assert texts_of_batches(equal(), 2) == both
    assert texts_of_batches(equal(seed=1), 1) != both[:half]
    in_order = texts_of_batches(equal(seed=None), 2)
    assert in_order[:half] == in_order[half:] != both[:half]


def test_long_and_short_examples_are_shared_out():
    """No batch has much more to compute than another, and rows fill up."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.geometric(1 / 60, 640) + 2, 256)
    tokens = RaggedTokens.from_sequences([[1] * length for length in lengths])
    examples = EncodedExamples(tokens, np.zeros(640, np.int32), 0)
    plan = EqualBatches(examples, 32, 256, seed=0)
    sums = [batch["segment_lengths"].sum() for batch, *_ in plan.batches(3)]
    assert max(sums) < 1.05 * min(sums)
    shapes = {batch["token_ids"].shape for batch, *_ in plan.batches(3)}
    assert len(shapes) == 1
    assert lengths.sum() / (20 * np.prod(shapes.pop())) > 0.8

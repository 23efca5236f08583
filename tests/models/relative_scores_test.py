import jax
import numpy as np
import pytest

from sentiment.models.relative_scores import (
    falling_distances,
    key_scores,
    query_scores,
)

LENGTH = 7


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 3, LENGTH, 4)).astype(np.float32)


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, 2 * LENGTH - 1, 4)).astype(np.float32)


def by_definition(vectors, table, is_of_key):
    found = np.zeros((2, 3, LENGTH, LENGTH))
    row_of = {int(d): row for row, d in enumerate(falling_distances(LENGTH))}
    for i in range(LENGTH):
        for j in range(LENGTH):
            vector = vectors[:, :, j if is_of_key else i]
            found[:, :, i, j] = (vector * table[:, row_of[i - j]]).sum(-1)
    return found


def test_distances_fall_from_the_last_query_and_first_key():
    assert falling_distances(3).tolist() == [2, 1, 0, -1, -2]


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (0, 3), (3, 6), (6, 7)])
def test_a_query_is_met_with_the_distance_of_each_key(vectors, table, start, stop):
    found = query_scores(vectors, table, slice(start, stop))
    expected = by_definition(vectors, table, is_of_key=False)[:, :, start:stop]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("block_length", [1, 3, 7, 128])
@pytest.mark.parametrize(("start", "stop"), [(0, 7), (0, 3), (3, 6), (6, 7)])
def test_a_key_is_met_with_the_distance_of_each_query(
    vectors, table, start, stop, block_length
):
    found = key_scores(vectors, table, slice(start, stop), block_length)
    expected = by_definition(vectors, table, is_of_key=True)[:, :, start:stop]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("is_of_key", [False, True])
def test_gradients_come_to_the_distances_that_were_met(vectors, table, is_of_key):
    def total(table):
        if is_of_key:
            return key_scores(vectors, table, slice(2, 4), 3).sum()
        return query_scores(vectors, table, slice(2, 4)).sum()

    gradient = np.abs(jax.grad(total)(table)).max(axis=(0, 2))
    met = {i - j for i in (2, 3) for j in range(LENGTH)}
    assert [g > 0 for g in gradient] == [
        int(d) in met for d in falling_distances(LENGTH)
    ]

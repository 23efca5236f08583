"""Scores of attention that depend on how far apart two tokens are.

Two tokens of one segment are as far apart in a packed row as they are alone, so models
whose attention looks at distances read packed rows, too. A vector for each distance is
kept in a table. Element-wise gathers, as the authors' code has them, are slow, and
their gradients more so; here products with a slice of the table are turned into place
by a change of shape, as in Music Transformer (Huang et al. 2018,
https://arxiv.org/abs/1809.04281).
"""

import jax.numpy as jnp
import numpy as np


def falling_distances(length: int) -> np.ndarray:
    """All distances in a row, query minus key: from length - 1 to 1 - length."""
    return np.arange(length - 1, -length, -1)


def query_scores(query, table, queries: slice):
    """What each query adds for the distance of each key.

    Args:
        query: float (batch, heads, length, head_dim).
        table: float (heads, 2 * length - 1, head_dim), by `falling_distances`.
        queries: which ones, of step 1.

    Returns:
        float32 (batch, heads, queries, length): [i, j] is the product of query i and of
        the vector for the distance i - j.
    """
    length = query.shape[2]
    return _in_place(query[:, :, queries], table[:, length - queries.stop :], length)


def key_scores(key, table, queries: slice, block_length: int):
    """What each key adds for the distance of each query.

    Keys go in blocks: each is multiplied by the distances of its whole block to the
    queries, of which it needs as many as there are queries.

    Args:
        key: float (batch, heads, length, head_dim).
        table: float (heads, 2 * length - 1, head_dim), by `falling_distances`.
        queries: which ones, of step 1.
        block_length: keys in a block, at most.

    Returns:
        float32 (batch, heads, queries, length): [i, j] is the product of key j and of
        the vector for the distance i - j.
    """
    length = key.shape[2]
    rising = table[:, ::-1]  # row length - 1 + d is of the distance d
    num_queries = queries.stop - queries.start
    scores = []
    for start in range(0, length, block_length):
        block = key[:, :, start : start + block_length]
        first = length + queries.start - start - block.shape[2]
        scores.append(_in_place(block, rising[:, first:], num_queries))
    return jnp.swapaxes(jnp.concatenate(scores, axis=2), 2, 3)


def _in_place(vectors, table, num_columns: int):
    """Products of row r with table rows from num_rows - 1 - r on.

    Args:
        vectors: float (batch, heads, num_rows, head_dim).
        table: float (heads, num_rows + num_columns - 1 or more, head_dim).
        num_columns: int.

    Returns:
        float32 (batch, heads, num_rows, num_columns).
    """
    *lead, num_rows, _ = vectors.shape
    width = num_rows + num_columns - 1
    products = jnp.einsum(
        "bnrh,nth->bnrt",
        vectors,
        table[:, :width],
        preferred_element_type=jnp.float32,
    )
    # One column more in each row, read with the old width from a later start on: each
    # row then begins one place earlier in its products.
    wider = jnp.pad(products, ((0, 0), (0, 0), (0, 0), (0, 1)))
    flat = wider.reshape(*lead, -1)[..., num_rows - 1 :][..., : num_rows * width]
    return flat.reshape(*lead, num_rows, width)[..., :num_columns]

"""Attention over packed rows, by chunks of queries."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

CHUNK_LENGTH = 128
MASKED_SCORE = -1e9  # finite, so that a query without a key gives no NaN


def segment_attention(
    query,
    key,
    value,
    segment_ids,
    is_causal: bool,
    chunk_length: int | None = CHUNK_LENGTH,
    drop: Callable = lambda weights: weights,
    window: int | None = None,
    more_scores: Callable | None = None,
):
    """Each token attends to its own segment.

    Queries go in chunks. Where none sees what comes after it, each chunk goes against
    the keys up to its own end: in rows of 512 that is 5/8 of the square. With a window
    they begin where it does.

    Args:
        query: float (batch, length, heads, head_dim), already scaled.
        key: like `query`.
        value: like `query`.
        segment_ids: int (batch, length).
        is_causal: whether a token attends to nothing after itself.
        chunk_length: queries in a chunk; `None` takes all at once.
        drop: what dropout makes of the weights.
        window: tokens that one attends to at most to a side, itself included; `None`:
            all.
        more_scores: of a slice of the queries and one of the keys, what is added to
            their products, float (batch, heads, queries, keys); `None`: nothing.

    Returns:
        Like `query`. The softmax is in float32.
    """
    length = query.shape[1]
    query, key, value = (heads_first(x) for x in (query, key, value))
    step = chunk_length or max(length, 1)
    position = jnp.arange(length)
    chunks = []
    for start in range(0, length, step):
        queries = slice(start, min(start + step, length))
        reach = length if window is None else window - 1
        last = queries.stop if is_causal else min(queries.stop + reach, length)
        keys = slice(max(0, start - reach), last)
        is_seen = segment_ids[:, queries, None] == segment_ids[:, None, keys]
        distance = position[queries, None] - position[None, keys]
        if is_causal:
            is_seen &= distance >= 0
        if window is not None:
            is_seen &= jnp.abs(distance) < window
        chunks.append(
            _attend(
                query[:, :, queries],
                key[:, :, keys],
                value[:, :, keys],
                is_seen,
                drop,
                more_scores(queries, keys) if more_scores else 0.0,
            )
        )
    return heads_first(jnp.concatenate(chunks, axis=2))


def segment_query_attention(
    query,
    key,
    value,
    segment_ids,
    drop: Callable = lambda weights: weights,
    window: int | None = None,
    is_first: bool = False,
):
    """One token of each segment attends to its whole segment.

    Args:
        query: float (batch, max_segments, heads, head_dim), already scaled.
        key: float (batch, length, heads, head_dim).
        value: like `key`.
        segment_ids: int (batch, length), 1 for the first segment of a row.
        drop: what dropout makes of the weights.
        window: tokens that it attends to at most; `None`: all.
        is_first: whether it is the first token of its segment, not the last.

    Returns:
        Like `query`; finite, but without meaning, in unused slots.
    """
    slots = jnp.arange(1, query.shape[1] + 1)
    is_seen = segment_ids[:, None, :] == slots[None, :, None]
    if window is not None:
        step = 1 if is_first else -1
        steps_away = jnp.cumsum(is_seen[:, :, ::step], axis=2)[:, :, ::step]
        is_seen &= steps_away <= window
    query, key, value = (heads_first(x) for x in (query, key, value))
    return heads_first(_attend(query, key, value, is_seen, drop))


def _attend(query, key, value, is_seen, drop, more_scores=0.0):
    scores = jnp.einsum(
        "bnqh,bnkh->bnqk", query, key, preferred_element_type=jnp.float32
    )
    # Added, not selected: XLA then makes it once for all heads.
    mask = jnp.where(is_seen, 0.0, MASKED_SCORE)[:, None]
    scores = scores + more_scores + mask
    if not _normalizes_late():
        weights = drop(jax.nn.softmax(scores, axis=-1).astype(value.dtype))
        return jnp.einsum("bnqk,bnkh->bnqh", weights, value)
    highest = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
    weights = jnp.exp(scores - highest)
    total = weights.sum(axis=-1, keepdims=True)
    weights = drop(weights.astype(value.dtype))
    attended = jnp.einsum("bnqk,bnkh->bnqh", weights, value)
    return (attended / total).astype(value.dtype)


def _normalizes_late() -> bool:
    """Whether what was read is divided by the sum, instead of each weight.

    That is less to divide, which a CPU notices. Elsewhere XLA has a kernel for a
    softmax as it is.
    """
    return jax.default_backend() == "cpu"


def heads_first(x):
    """Swaps tokens and heads: (batch, length, heads, ...) and back."""
    return jnp.swapaxes(x, 1, 2)

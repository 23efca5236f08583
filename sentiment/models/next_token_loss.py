"""Next-token cross-entropy without the array of all logits."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# Tokens whose logits are in memory at once. On a CPU they fit its cache, which makes
# a small model's step a fifth faster; elsewhere they keep large products busy.
CHUNK_TOKENS = {"cpu": 256}
CHUNK_TOKENS_ELSEWHERE = 2048


def next_token_loss(hidden_states, embedding, targets, weights):
    """Sum over tokens of -weight log softmax(hidden_state @ embedding.T)[target].

    The product with the vocabulary dominates small language models, and its logits
    dominate their memory. Here they are computed a chunk of tokens at a time, once:
    the gradient, softmax minus one-hot, is taken while a chunk's logits are at hand
    (as in Liger Kernel's fused linear cross-entropy, Hsu et al. 2024,
    https://arxiv.org/abs/2410.10989).

    Args:
        hidden_states: float (batch, length, hidden_dim).
        embedding: float (vocabulary_size, hidden_dim).
        targets: int (batch, length).
        weights: float32 (batch, length), 0 where there is no target.

    Returns:
        float32 scalar, in nats. Products are in the dtype of `hidden_states`,
        softmax and sums in float32.
    """
    return _loss(hidden_states, embedding, targets, weights.astype(jnp.float32))


@jax.custom_vjp
def _loss(hidden_states, embedding, targets, weights):
    embedding = embedding.astype(hidden_states.dtype)

    def add_chunk(total, chunk):
        states, chunk_targets, chunk_weights = chunk
        losses, _ = _losses(states, embedding, chunk_targets)
        return total + jnp.sum(losses * chunk_weights), None

    chunks = _in_chunks(hidden_states, targets, weights)
    return lax.scan(add_chunk, jnp.zeros(()), chunks)[0]


def _loss_forward(hidden_states, embedding, targets, weights):
    cast = embedding.astype(hidden_states.dtype)
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

    def add_chunk(carry, chunk):
        total, embedding_gradient = carry
        states, chunk_targets, chunk_weights = chunk
        losses, probabilities = _losses(states, cast, chunk_targets)
        is_target = jnp.arange(cast.shape[0]) == chunk_targets[..., None]
        gradient = (probabilities - is_target) * chunk_weights[..., None]
        gradient = lax.optimization_barrier(gradient.astype(states.dtype))
        state_gradient = product("bcv,vd->bcd", gradient, cast)
        embedding_gradient += product("bcv,bcd->vd", gradient, states)
        total += jnp.sum(losses * chunk_weights)
        return (total, embedding_gradient), state_gradient.astype(states.dtype)

    zeros = jnp.zeros(()), jnp.zeros(embedding.shape, jnp.float32)
    chunks = _in_chunks(hidden_states, targets, weights)
    (total, embedding_gradient), state_gradients = lax.scan(add_chunk, zeros, chunks)
    state_gradients = _joined(state_gradients, hidden_states.shape)
    return total, (state_gradients, embedding_gradient.astype(embedding.dtype))


def _loss_backward(gradients, upstream):
    states, embedding = gradients
    scale = upstream.astype(states.dtype)
    return states * scale, embedding * upstream.astype(embedding.dtype), None, None


_loss.defvjp(_loss_forward, _loss_backward)


def _losses(states, embedding, targets):
    """Losses (batch, chunk) and probabilities (batch, chunk, vocabulary_size)."""
    logits = jnp.einsum(
        "bcd,vd->bcv", states, embedding, preferred_element_type=jnp.float32
    )
    shifted = logits - jnp.max(logits, axis=-1, keepdims=True)
    exponentials = jnp.exp(shifted)
    normalizer = jnp.sum(exponentials, axis=-1, keepdims=True)
    of_target = jnp.take_along_axis(shifted, targets[..., None], axis=-1)
    losses = (jnp.log(normalizer) - of_target)[..., 0]
    return losses, exponentials / normalizer


def _in_chunks(*arrays):
    """(batch, length, ...) to (chunks, batch, length / chunks, ...).

    Chunks are of positions, so that rows may be sharded over devices. There are as
    many as divide the length.
    """
    batch, length = arrays[0].shape[:2]
    size = CHUNK_TOKENS.get(jax.default_backend(), CHUNK_TOKENS_ELSEWHERE)
    wanted = -(-batch * length // size)
    start = min(max(wanted, 1), length)
    count = next(n for n in range(start, length + 1) if length % n == 0)
    return tuple(
        jnp.moveaxis(x.reshape(batch, count, length // count, *x.shape[2:]), 1, 0)
        for x in arrays
    )


def _joined(chunks, shape):
    return jnp.moveaxis(chunks, 0, 1).reshape(shape)

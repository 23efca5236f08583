"""Texts that a language model makes up."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sentiment.errors import InputError
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.packed_masked_lm import PackedMaskedLM

MAX_TOKENS = 100
TOP_P = 0.9


def sample_texts(
    model: PackedCausalLM,
    tokenizer: ByteLevelGPT2Tokenizer,
    count: int,
    seed: int,
    max_tokens: int = MAX_TOKENS,
    top_p: float = TOP_P,
) -> list[str]:
    """Draws texts token by token, from the start token on.

    Each token is drawn from the most likely ones that make up `top_p` of the
    probability (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751). The model
    reads the whole text again for each token: simple, for any backbone, and fast
    enough to look at a few texts.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        count: texts wanted.
        seed: of what is drawn.
        max_tokens: where a text that does not end is cut.
        top_p: in (0, 1].

    Raises:
        InputError: the model is not causal.
    """
    if isinstance(model, PackedMaskedLM):
        raise InputError(
            f"A {type(model).__name__} finds hidden tokens and makes up no texts. "
            "Leave out --sample."
        )
    length = max_tokens + 1
    token_ids = jnp.full((count, length), tokenizer.start_token_id, jnp.int32)
    keys = jax.random.split(jax.random.key(seed), max_tokens)
    draw = jax.jit(functools.partial(_draw, model, top_p))
    for position, key in enumerate(keys):
        drawn = draw(token_ids, position, key)
        token_ids = token_ids.at[:, position + 1].set(drawn)
    return [_text(tokenizer, row) for row in np.asarray(token_ids)[:, 1:]]


def _draw(model, top_p, token_ids, position, key):
    # What stands after `position` is not seen from there.
    count, length = token_ids.shape
    segment_lengths = jnp.full((count, 1), length, jnp.int32)
    hidden_states = model(
        {"token_ids": token_ids, "segment_lengths": segment_lengths}, training=False
    )
    logits = model.logits(hidden_states[:, position])
    return jax.random.categorical(key, nucleus(logits, top_p))


def nucleus(logits, top_p: float):
    """Sets the logits of all but the most likely tokens to minus infinity.

    Args:
        logits: float (batch, vocabulary_size).
        top_p: the least probability that the tokens left have together.
    """
    ordered = jnp.sort(logits, axis=-1, descending=True)
    probabilities = jax.nn.softmax(ordered, axis=-1)
    # Probability of the likelier tokens; while below top_p, this one is kept.
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    least = jnp.min(jnp.where(before < top_p, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def _text(tokenizer, ids) -> str:
    ends = np.flatnonzero(ids == tokenizer.end_token_id)
    ids = ids[: ends[0]] if len(ends) else ids
    return tokenizer.decode_batch([ids.tolist()])[0]

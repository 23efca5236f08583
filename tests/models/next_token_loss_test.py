import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sentiment.models import next_token_loss as module
from sentiment.models.next_token_loss import next_token_loss

BATCH, LENGTH, WIDTH, SIZE = 3, 12, 5, 11


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Four positions of three rows at once."""
    monkeypatch.setitem(module.CHUNK_TOKENS, "cpu", 12)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    hidden_states = rng.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
    embedding = rng.normal(size=(SIZE, WIDTH)).astype("float32")
    targets = rng.integers(0, SIZE, (BATCH, LENGTH))
    weights = rng.integers(0, 2, (BATCH, LENGTH)).astype("float32")
    return hidden_states, embedding, targets, weights


def plain(hidden_states, embedding, targets, weights):
    log_probabilities = jax.nn.log_softmax(hidden_states @ embedding.T)
    chosen = jnp.take_along_axis(log_probabilities, targets[..., None], -1)[..., 0]
    return -jnp.sum(weights * chosen)


def test_by_hand():
    # Two tokens, logits (0, log 3): probabilities 1/4 and 3/4.
    embedding = jnp.array([[0.0], [np.log(3.0)]])
    loss = next_token_loss(
        jnp.ones((1, 2, 1)), embedding, np.array([[0, 1]]), np.array([[1.0, 2.0]])
    )
    assert float(loss) == pytest.approx(np.log(4) + 2 * np.log(4 / 3), rel=1e-6)


@pytest.mark.parametrize("length", [12, 7, 1])
def test_value_and_gradients_are_those_of_the_plain_loss(arrays, length):
    hidden_states, embedding, targets, weights = arrays
    cut = (hidden_states[:, :length], embedding)
    rest = (targets[:, :length], weights[:, :length])
    value, gradients = jax.value_and_grad(next_token_loss, (0, 1))(*cut, *rest)
    wanted, wanted_gradients = jax.value_and_grad(plain, (0, 1))(*cut, *rest)
    assert float(next_token_loss(*cut, *rest)) == pytest.approx(float(wanted), rel=1e-6)
    assert float(value) == pytest.approx(float(wanted), rel=1e-6)
    for gradient, expected in zip(gradients, wanted_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_gradients_are_scaled_by_what_follows(arrays):
    once = jax.grad(next_token_loss, 1)(*arrays)
    thrice = jax.grad(lambda *x: 3 * next_token_loss(*x), 1)(*arrays)
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)


def test_great_logits_overflow_nothing(arrays):
    hidden_states, embedding, targets, weights = arrays
    value, gradient = jax.value_and_grad(next_token_loss)(
        1e4 * hidden_states, embedding, targets, weights
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_bfloat16_products_keep_a_float32_loss(arrays):
    hidden_states, embedding, targets, weights = arrays
    half = jnp.asarray(hidden_states, "bfloat16")
    value, gradients = jax.value_and_grad(next_token_loss, (0, 1))(
        half, embedding, targets, weights
    )
    assert value.dtype == jnp.float32
    assert [g.dtype for g in gradients] == [jnp.bfloat16, jnp.float32]
    assert float(value) == pytest.approx(
        float(plain(hidden_states, embedding, targets, weights)), rel=0.02
    )


def test_logits_of_one_chunk_alone_are_in_memory(arrays):
    jaxpr = jax.make_jaxpr(jax.grad(next_token_loss))(*arrays)
    shapes = [v.aval.shape for e in _equations(jaxpr.jaxpr) for v in e.outvars]
    with_vocabulary = [s for s in shapes if len(s) > 2 and s[-1] == SIZE]
    assert with_vocabulary
    assert max(map(np.prod, with_vocabulary)) == 12 * SIZE


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sentiment.models.hash_dropout import hash_dropout, keep_mask

SEED = np.array([123, 456], np.uint32)
SIZE = 1 << 20


def mask(rate=0.5, seed=SEED, site=0, shape=(SIZE,)):
    return np.asarray(keep_mask(shape, rate, np.asarray(seed, np.uint32), site))


def assert_share(mask, expected, sigmas=5):
    """Within five standard deviations of a binomial's mean."""
    spread = sigmas * np.sqrt(expected * (1 - expected) / mask.size)
    assert abs(mask.mean() - expected) < spread


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [[0, 0], [1, 0], [0, 1], [2**32 - 1, 7]])
def test_share_of_kept_elements(rate, seed):
    assert_share(mask(rate, seed), 1 - rate)


@pytest.mark.parametrize("lag", [1, 2, 3, 12, 64, 128, 512, 768, 3072, 65536])
def test_elements_are_independent_of_their_neighbours(lag):
    kept = mask()
    assert_share(kept[lag:] == kept[:-lag], 0.5)


@pytest.mark.parametrize(
    ("seed", "site"),
    [([123, 457], 0), ([124, 456], 0), ([456, 123], 0), (SEED, 1), (SEED, 77)],
)
def test_other_seeds_and_sites_give_independent_masks(seed, site):
    assert_share(mask() == mask(seed=seed, site=site), 0.5)


def test_every_position_is_dropped_at_its_rate_over_many_seeds():
    seeds = np.random.default_rng(0).integers(0, 2**32, (20_000, 2), np.uint32)
    kept = jax.vmap(lambda seed: keep_mask((8, 8), 0.3, seed, 5))(jnp.asarray(seeds))
    share = np.asarray(kept).mean(axis=0)
    assert np.abs(share - 0.7).max() < 5 * np.sqrt(0.3 * 0.7 / len(seeds))


def test_kept_elements_are_scaled_and_carry_the_gradient():
    x = jnp.arange(1.0, 1001.0)
    y, gradient = jax.value_and_grad(lambda x: hash_dropout(x, 0.2, SEED, 3).sum())(x)
    kept = mask(0.2, site=3, shape=(1000,))
    np.testing.assert_allclose(gradient, kept / 0.8, rtol=1e-6)
    assert float(y) == pytest.approx(float((x * gradient).sum()), rel=1e-5)


def test_rate_zero_is_the_identity():
    x = jnp.ones(5)
    assert hash_dropout(x, 0.0, SEED, 0) is x


def test_dtype_is_kept():
    assert hash_dropout(jnp.ones(5, "bfloat16"), 0.5, SEED, 0).dtype == jnp.bfloat16


def test_same_seed_same_mask_whatever_the_shape():
    np.testing.assert_array_equal(mask(shape=(64, 128)).ravel(), mask(shape=(8192,)))

import threading

import keras
import numpy as np
import pytest

from sentiment.models.initial_weights import without_initial_weights

RANDOM = (
    "RandomNormal",
    "RandomUniform",
    "GlorotUniform",
    "HeNormal",
    "TruncatedNormal",
)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", None])
def test_random_initializers_give_zeros_and_then_random_numbers_again(name, dtype):
    initializer = getattr(keras.initializers, name)()
    with without_initial_weights():
        blank = initializer((3, 2), dtype=dtype)
    drawn = initializer((30, 20), dtype=dtype)
    assert keras.backend.standardize_dtype(blank.dtype) == (dtype or "float32")
    assert blank.dtype == drawn.dtype
    assert blank.shape == (3, 2)
    assert not np.any(np.array(blank, "float32"))
    # In bfloat16 a uniform number is 0 more often than once in a thousand.
    assert np.mean(np.array(drawn, "float32") != 0) > 0.9


def test_orthogonal_ones_too():
    initializer = keras.initializers.Orthogonal()
    with without_initial_weights():
        assert not np.any(np.array(initializer((3, 2))))
    assert np.any(np.array(initializer((3, 2))))


def test_an_error_inside_ends_it_too():
    with pytest.raises(ZeroDivisionError), without_initial_weights():
        _ = 1 / 0
    assert np.any(np.array(keras.initializers.RandomNormal()((2, 2))))


def test_it_may_be_nested():
    initializer = keras.initializers.RandomNormal()
    with without_initial_weights():
        with without_initial_weights():
            pass
        assert not np.any(np.array(initializer((2, 2))))


def test_models_of_other_threads_have_their_weights():
    drawn = []

    def draw():
        drawn.append(np.array(keras.initializers.RandomNormal()((2, 2))))

    with without_initial_weights():
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    assert np.all(drawn[0] != 0)


def test_what_is_drawn_afterwards_is_what_would_have_been_without():
    def after(load):
        keras.utils.set_random_seed(0)
        load()
        return keras.layers.Dense(3), np.array(keras.initializers.RandomNormal()((2,)))

    def make():
        keras.layers.Dense(3).build((None, 2))

    def make_blank():
        with without_initial_weights():
            make()

    np.testing.assert_array_equal(after(make)[1], after(make_blank)[1])


def test_constants_stay():
    with without_initial_weights():
        layer = keras.layers.LayerNormalization()
        layer.build((None, 4))
    np.testing.assert_array_equal(layer.gamma, np.ones(4))

import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras.src.backend.common.stateless_scope import in_stateless_scope

from sentiment.models.pure_step import PureStep


def test_nothing_is_donated():
    state, batch = ([jnp.ones(3)], [jnp.zeros(2)]), (np.ones(3, np.float32),)
    step = PureStep(lambda state, data: (state[0][0] + data[0], state))
    for _ in range(2):
        result, _ = step.on(state)(batch)
        np.testing.assert_array_equal(result, 2 * np.ones(3))
    assert not any(array.is_deleted() for part in state for array in part)


def test_each_shape_is_traced_once():
    traced = []

    def add(state, data):
        traced.append(data.shape)
        return state + data

    step = PureStep(add)
    for length in (1, 2, 1):
        step.on(jnp.ones(()))(np.ones(length))
        step.on(jnp.ones(length))(np.ones(length))
    assert sorted(traced) == [(1,), (1,), (2,), (2,)]


def test_the_state_is_the_one_that_was_given():
    step = PureStep(lambda state, data: state + data)
    one, other = step.on(jnp.ones(())), step.on(jnp.zeros(()))
    assert (one(1.0 * np.ones(())), other(np.ones(()))) == (2, 1)


def test_an_interruption_leaves_no_scope_open():
    """A layer's variables are called as if nothing had been."""

    def interrupted(state, data):
        keras.name_scope("left_open").__enter__()
        keras.StatelessScope().__enter__()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PureStep(interrupted).on(jnp.ones(()))(np.ones(1))
    layer = keras.layers.Dense(1, name="dense")
    layer.build((None, 1))
    assert layer.kernel.path == "dense/kernel"
    assert not in_stateless_scope()


def test_an_interruption_inside_of_scopes_leaves_these():
    def interrupted(state, data):
        raise KeyboardInterrupt

    with keras.name_scope("outer"):
        with pytest.raises(KeyboardInterrupt):
            PureStep(interrupted).on(jnp.ones(()))(np.ones(1))
        layer = keras.layers.Dense(1, name="dense")
        layer.build((None, 1))
    assert layer.kernel.path == "outer/dense/kernel"


def test_an_interrupted_evaluation_leaves_no_scope_open(make_classifier, monkeypatch):
    classifier = make_classifier()
    classifier.compile()

    def interrupted(*_, **__):
        keras.name_scope("left_open").__enter__()
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "compute_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classifier.evaluate(["A great film!"], [1], verbose=0)
    layer = keras.layers.Dense(1, name="dense")
    layer.build((None, 1))
    assert layer.kernel.path == "dense/kernel"

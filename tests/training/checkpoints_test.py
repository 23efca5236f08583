import keras
import numpy as np
import pytest

from sentiment.errors import InputError, StorageError
from sentiment.training.checkpoints import KEPT, Checkpoints, set_state, state_of


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, steps=2):
    x = np.random.default_rng(0).normal(size=(4 * steps, 3))
    model.fit(x, x[:, :2], batch_size=4, epochs=1, shuffle=False, verbose=0)


def state(model):
    return [np.array(v.value) for v in state_of(model)]


def group(model):
    return {"model": state_of(model)}


def restore(checkpoints, model):
    set_state(state_of(model), checkpoints.restore(group(model))["model"])


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_comes_back_with_optimizer_and_random_state(model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    assert checkpoints.latest is None
    train(model)
    saved = state(model)
    checkpoints.save(2, group(model), {"seen": [1, 2]})
    train(model)  # while it is being written
    wanted = state(model)
    checkpoints.close()
    assert any(np.any(a != b) for a, b in zip(saved, wanted, strict=True))

    again = Checkpoints(tmp_path / "c")
    assert again.latest == 2
    assert again.about() == {"seen": [1, 2]}
    restore(again, model)
    assert_same(state(model), saved)
    train(model)  # The same dropout as the first time.
    assert_same(state(model), wanted)


def test_the_newest_are_kept(model, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, KEPT + 3):
        checkpoints.save(step, group(model), {"step": step})
    checkpoints.close()
    steps = sorted(int(path.name) for path in tmp_path.iterdir())
    assert steps == list(range(3, KEPT + 3))
    assert Checkpoints(tmp_path).about() == {"step": KEPT + 2}


def test_a_half_written_checkpoint_is_not_taken_for_a_whole_one(model, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, group(model), {})
    checkpoints.close()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    assert Checkpoints(tmp_path).latest == 1


def test_another_models_checkpoint_is_refused(model, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, group(model), {})
    checkpoints.close()
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.compile("adam", "mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(InputError, match="cannot be read"):
        restore(Checkpoints(tmp_path), other)


def test_what_cannot_be_written_says_whether_there_is_one_before(
    model, tmp_path, monkeypatch
):
    checkpoints = Checkpoints(tmp_path)

    def fail(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints._manager, "save", fail)
        with pytest.raises(StorageError, match=r"written: disk full\. Make room"):
            checkpoints.save(1, group(model), {})
    checkpoints.save(1, group(model), {})
    checkpoints.wait()
    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(StorageError, match=r"full\. The one before is whole\. Make"):
        checkpoints.save(2, group(model), {})

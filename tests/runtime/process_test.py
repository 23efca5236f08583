import jax
import pytest

from sentiment.config import SpeedConfig
from sentiment.errors import InputError
from sentiment.runtime.process import prepare_process


@pytest.mark.parametrize(
    ("error", "platforms", "message"),
    [
        (
            AssertionError(),
            "cuda",
            "JAX_PLATFORMS=cuda, for there is no such device",
        ),
        (RuntimeError("no libtpu"), "tpu", "on JAX_PLATFORMS=tpu: no libtpu. Unset"),
        (RuntimeError("driver too old"), "", "JAX cannot start: driver too old.$"),
    ],
)
def test_devices_that_are_not_there_are_named(monkeypatch, error, platforms, message):
    def fail():
        raise error

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    with pytest.raises(InputError, match=message):
        prepare_process(SpeedConfig(cache_dir=""))

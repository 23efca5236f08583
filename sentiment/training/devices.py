"""The devices that share a run's batches."""

import contextlib
import logging
import os

import jax
import keras

from sentiment.config import OptimizationConfig
from sentiment.errors import InputError

logger = logging.getLogger(__name__)


def sharding_scope(config: OptimizationConfig) -> contextlib.AbstractContextManager:
    """The scope in which rows are sharded over the chosen local devices.

    Models must be made inside. With one device it changes nothing.

    Raises:
        InputError: there are fewer devices than wanted, or the rows of a batch
            cannot be shared out evenly.
    """
    devices = keras.distribution.list_devices()
    count = config.num_devices or most_that_divide(config.batch_size, len(devices))
    if count > len(devices):
        raise InputError(
            f"--num_devices={count}, but there are {len(devices)} local devices."
        )
    if config.batch_size % count:
        raise InputError(
            "--batch_size must be a multiple of --num_devices, since rows are shared "
            f"out evenly. Received: {config.batch_size} rows for {count} devices."
        )
    if len(devices) > 1:
        logger.info(f"Using {count} of {len(devices)} local devices.")
    if count == 1:
        return contextlib.nullcontext()
    distribution = keras.distribution.DataParallel(
        devices=devices[:count], auto_shard_dataset=False
    )
    return distribution.scope()


def most_that_divide(rows: int, limit: int) -> int:
    """The greatest divisor of `rows` that is at most `limit`."""
    return max(count for count in range(1, limit + 1) if rows % count == 0)


def device_name() -> str:
    """Kind and number of the devices that share a batch, as in "NVIDIA H100 x 8"."""
    distribution = keras.distribution.distribution()
    count = 1 if distribution is None else distribution.device_mesh.devices.size
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        name = f"cpu ({os.cpu_count()} cores)"
        return name if count == 1 else f"{name} as {count} devices"
    return f"{device.device_kind} x {count}"

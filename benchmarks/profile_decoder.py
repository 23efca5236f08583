"""Where a training step's time goes: four decoder blocks of GPT-2 small.

python benchmarks/profile_decoder.py

Forward and backward pass over packed rows of 512 with dropout 0.1, the fast paths
switched on one after the other, against the large matrix products alone. The
variants take turns; medians.
"""

import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KERAS_BACKEND", "jax")

from sentiment.config import SpeedConfig  # isort: skip, before JAX: see memory.py

import jax
import jax.numpy as jnp
import keras_hub
import numpy as np
from absl import app, flags

from sentiment.models.backbones.packed_decoder import PackedDecoder
from sentiment.runtime.memory import keep_freed_memory

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 4, "Rows of 512 tokens.")
flags.DEFINE_integer("rounds", 5, "Turns of each variant.")

NUM_LAYERS, NUM_HEADS, HIDDEN_DIM, INTERMEDIATE_DIM = 4, 12, 768, 3072
ROW_LENGTH = 512
OFF = {"chunked_attention": False, "hash_dropout": False, "skip_unread": False}
VARIANTS = {
    "KerasHub's blocks": (0.1, OFF),
    "the same without dropout": (0.0, OFF),
    "hash dropout": (0.1, {**OFF, "hash_dropout": True}),
    "and attention by chunks": (0.1, {"skip_unread": False}),
    "and last block at last tokens": (0.1, {}),
}


def make_step(dropout: float, speed: dict):
    """A compiled forward and backward pass, to be called without arguments."""
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=10,
        num_layers=NUM_LAYERS,
        num_heads=NUM_HEADS,
        hidden_dim=HIDDEN_DIM,
        intermediate_dim=INTERMEDIATE_DIM,
        dropout=dropout,
        max_sequence_length=ROW_LENGTH,
    )
    decoder = PackedDecoder(backbone, reads="last")
    decoder.speed = SpeedConfig(**speed, cache_dir="")
    rng = np.random.default_rng(0)
    shape = (FLAGS.rows, ROW_LENGTH, HIDDEN_DIM)
    embeddings = jnp.asarray(rng.normal(size=shape), "float32")
    lengths = np.tile(np.array([[280, 150, 82]], np.int32), (FLAGS.rows, 1))
    segment_ids = np.repeat(np.arange(1, 4), lengths[0])[None].repeat(FLAGS.rows, 0)
    ends = np.cumsum(lengths[0]) - 1
    trainable = [v.value for v in decoder.trainable_variables]
    frozen = [v.value for v in decoder.non_trainable_variables]

    @jax.jit
    @jax.value_and_grad
    def step(trainable):
        states, _ = decoder.stateless_call(
            trainable, frozen, embeddings, segment_ids, lengths, training=True
        )
        return jnp.mean(states[:, ends] ** 2)

    return lambda: step(trainable)


def make_products():
    """The same for the blocks' matrix products alone."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape) * 0.02, "float32")

    x = normal(FLAGS.rows * ROW_LENGTH, HIDDEN_DIM)
    weights = [
        (
            [normal(HIDDEN_DIM, HIDDEN_DIM) for _ in range(4)],
            normal(HIDDEN_DIM, INTERMEDIATE_DIM),
            normal(INTERMEDIATE_DIM, HIDDEN_DIM),
        )
        for _ in range(NUM_LAYERS)
    ]

    @jax.jit
    @jax.value_and_grad
    def step(weights):
        y = x
        for (query, key, value, output), up, down in weights:
            y = y + (y @ query + y @ key + y @ value) @ output
            y = y + (y @ up) @ down
        return jnp.mean(y**2)

    return lambda: step(weights)


def main(_):
    """Times the variants in turns and prints a Markdown table."""
    keep_freed_memory()
    steps = {"matrix products alone": make_products()}
    steps |= {name: make_step(*variant) for name, variant in VARIANTS.items()}
    for step in steps.values():
        jax.block_until_ready(step())
    seconds = {name: [] for name in steps}
    for _ in range(FLAGS.rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            jax.block_until_ready(step())
            seconds[name].append(time.perf_counter() - started)
    weights = NUM_LAYERS * (4 * HIDDEN_DIM**2 + 2 * HIDDEN_DIM * INTERMEDIATE_DIM)
    flops = 6 * weights * FLAGS.rows * ROW_LENGTH
    print("| variant | ms a step | GFLOP/s of the products |\n| --- | ---: | ---: |")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {median * 1e3:,.0f} | {flops / median / 1e9:.0f} |")


if __name__ == "__main__":
    app.run(main)

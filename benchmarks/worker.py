"""One contender in a process of its own, one line of JSON for each request.

python -m benchmarks.worker CONTENDER WORKLOAD.npz train|predict cpu|gpu DTYPE
"""

import json
import os
import resource
import sys
import time

STARTED = time.perf_counter()
PEAK_SIZE = 2048
CONTENDERS = {
    "ours": ("benchmarks.contenders.ours", "Ours"),
    "ours, stock layers": ("benchmarks.contenders.ours", "OursWithoutFastPaths"),
    "transformers": ("benchmarks.contenders.transformers_peer", "Transformers"),
    "transformers, by length": (
        "benchmarks.contenders.transformers_peer",
        "TransformersGrouped",
    ),
    "transformers, compiled": (
        "benchmarks.contenders.transformers_peer",
        "TransformersCompiled",
    ),
    "keras-hub, padded": ("benchmarks.contenders.keras_hub_padded", "KerasHubPadded"),
}
PEAK = "peak"


class Compilations:
    """Counts what XLA compiles, and the seconds it takes."""

    def __init__(self):
        self.count, self.seconds = 0, 0.0
        if "jax" in sys.modules:
            from jax import monitoring

            monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event, duration, **_):
        if event.endswith("backend_compile_duration"):
            self.count += 1
            self.seconds += duration


def matrix_product_peak(device: str, dtype: str) -> float:
    """FLOP/s of a square matrix product in JAX."""
    import jax
    import jax.numpy as jnp

    size = PEAK_SIZE * (4 if device == "gpu" else 1)
    repeats = 10
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: a @ b)
    product(a, a).block_until_ready()
    started = time.perf_counter()
    for _ in range(repeats):
        product(a, a).block_until_ready()
    return repeats * 2 * size**3 / (time.perf_counter() - started)


def main(name, workload_path, mode, device, dtype):
    """Answers `round` with what was done, anything else by ending."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is no reply.
    os.environ.setdefault("KERAS_BACKEND", "jax")

    def reply(**values):
        print(json.dumps(values), file=replies, flush=True)

    if name == PEAK:
        reply(setting="")
        for _ in sys.stdin:
            reply(flops_per_second=matrix_product_peak(device, dtype))
        return
    import importlib

    from benchmarks.workload import Workload

    module, class_name = CONTENDERS[name]
    contender_class = getattr(importlib.import_module(module), class_name)
    compilations = Compilations()
    workload = Workload.load(workload_path)
    training = mode == "train"
    contender = contender_class(workload, training, device, dtype)
    contender.warm_up()
    reply(
        setting=contender.setting,
        first_round_seconds=time.perf_counter() - STARTED,
        compilations=compilations.count,
        compile_seconds=compilations.seconds,
    )
    for _ in sys.stdin:
        started = time.perf_counter()
        work = contender.round()
        seconds = time.perf_counter() - started
        reply(
            seconds=seconds,
            tokens=int(work.lengths.sum()),
            reviews=len(work.lengths),
            positions=int(work.positions),
            flops=workload.flops(work.lengths, training),
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            compilations=compilations.count,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

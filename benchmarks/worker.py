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
OURS = "ours"
CONTENDERS = {
    OURS: ("benchmarks.contenders.ours", "Ours"),
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


def environment(name: str, device: str) -> dict[str, str]:
    """What a contender's process finds in its environment, beside what is there."""
    is_torch = name.startswith("transformers")
    added = {"JAX_PLATFORMS": "cpu"} if is_torch or device == "cpu" else {}
    if device == "gpu":  # Several processes share its memory.
        added["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if name != OURS:  # glibc's own default, for `import sentiment` sets another.
        added["MALLOC_ARENA_MAX"] = str(8 * os.cpu_count())
    return added


def check_device(device: str):
    """Raises unless JAX computes where it is meant to."""
    import jax

    if jax.default_backend() != device:
        raise RuntimeError(f"JAX computes on {jax.default_backend()}, not {device}.")


def main(name, workload_path, mode, device, dtype):
    """Answers each number, a turn's, with what was done in it."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is no reply.
    os.environ.setdefault("KERAS_BACKEND", "jax")

    def reply(**values):
        print(json.dumps(values), file=replies, flush=True)

    if name == PEAK:
        check_device(device)
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
    if "torch" not in sys.modules:
        check_device(device)
    contender = contender_class(workload, training, device, dtype)
    contender.warm_up()
    reply(
        setting=contender.setting,
        first_round_seconds=time.perf_counter() - STARTED,
        compilations=compilations.count,
        compile_seconds=compilations.seconds,
    )
    for line in sys.stdin:
        started = time.perf_counter()
        work = contender.round(int(line))
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

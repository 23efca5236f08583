import os
import subprocess
import sys

import pytest

from sentiment import memory

# Pages touched for the first time in a call of a computation that allocates 96 MB,
# once it has been called before; the least of several calls.
PROGRAM = """
import resource
import sentiment
from sentiment import memory
import jax
import jax.numpy as jnp

if {keep}:
    assert memory.keep_freed_memory()
x = jnp.ones((1000, 2000))
compute = jax.jit(lambda x: jnp.stack([jnp.roll(x, i, 1) @ x.T for i in range(24)]))

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    compute(x).block_until_ready()
least = float("inf")  # The heap may still grow now and then.
for _ in range(8):
    before = faults()
    compute(x).block_until_ready()
    least = min(least, faults() - before)
print(least)
"""
PAGES = 96_000_000 // 4096


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has the settings")
@pytest.mark.parametrize("keep", [True, False])
def test_a_computation_finds_the_memory_of_the_last_one(keep):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    faults = int(result.stdout)
    assert faults < PAGES / 20 if keep else faults > PAGES / 2


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()


def test_a_limit_of_the_users_own_stays(monkeypatch):
    def never(*_):
        raise AssertionError("mallopt was called")

    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setattr(memory, "_set", never)
    assert not memory.share_one_arena()

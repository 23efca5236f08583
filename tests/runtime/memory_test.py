import os
import subprocess
import sys

import pytest

from sentiment.runtime import memory

# Pages touched for the first time in a call of a computation that allocates 96 MB,
# once it has been called before; the least of several calls.
PROGRAM = """
import resource
import sentiment
from sentiment.runtime import memory
import jax
import jax.numpy as jnp

if {keep}:
    assert memory.keep_freed_memory()
x = jnp.ones((1000, 20))  # thin, since to multiply is not the point
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


@pytest.fixture
def calls(monkeypatch):
    """What reaches the C library, with neither variable set by the user."""
    received = []
    monkeypatch.setattr(memory, "_set", lambda *args: received.append(args) or True)
    for name in ("MALLOC_ARENA_MAX", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "")  # is restored to what it was
        monkeypatch.delenv(name)
    monkeypatch.setattr(memory, "has_accelerator", lambda: False)
    return received


def test_one_arena_leaves_the_tokenizer_one_thread(calls):
    assert memory.share_one_arena() and calls
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_the_users_own_tokenizer_threads_stay(calls, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    assert memory.share_one_arena()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_arenas_and_threads_stay_where_an_accelerator_trains(calls, monkeypatch):
    monkeypatch.setattr(memory, "has_accelerator", lambda: True)
    assert not memory.share_one_arena()
    assert not calls and "TOKENIZERS_PARALLELISM" not in os.environ


@pytest.mark.parametrize("plugins", [["a plugin"], []])
def test_an_accelerator_is_known_by_its_plugin(plugins, monkeypatch):
    monkeypatch.setattr(memory, "entry_points", lambda group: plugins)
    monkeypatch.setattr(memory, "find_spec", lambda name: None)
    assert memory.has_accelerator() == bool(plugins)
    monkeypatch.setattr(memory, "find_spec", lambda name: "libtpu's")
    assert memory.has_accelerator()

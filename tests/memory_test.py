import subprocess
import sys

import pytest

# Resident megabytes after an array of 256 has been freed, against before.
PROGRAM = """
import numpy as np
from sentiment.memory import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

keeps = {keep} and keep_freed_memory()
before = resident()
array = np.ones(1 << 25)
del array
print(keeps, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has the settings")
@pytest.mark.parametrize("keep", [True, False])
def test_freed_memory_stays_with_the_process(keep):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
    )
    keeps, grown = result.stdout.split()
    assert keeps == str(keep)
    assert (float(grown) > 250) == keep


def test_another_c_library_is_left_alone(monkeypatch):
    from sentiment import memory

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()

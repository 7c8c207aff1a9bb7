from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from latentscan.execution.worker import Payload, environment, hold, payload_key

PROGRAM = """
import numpy as np
from latentscan.execution.worker import reuse_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

reuse_freed_memory()
before = resident()
array = np.ones(2**20)
with_array = resident()
del array
print((resident() - before) / (with_array - before))
"""


def share_kept(**variables: str) -> float:
    """Return the share of an array's memory that a process of its own still has when the array is freed."""
    environ = {**os.environ, **variables}
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, stdout=subprocess.PIPE, check=True)
    return float(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize("variables", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536"}], ids=["plain", "of a nanny"])
def test_freed_memory_is_used_again(variables: dict[str, str]) -> None:
    assert share_kept(**variables) > 0.9


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_a_threshold_that_the_user_chose_is_obeyed() -> None:
    assert share_kept(MALLOC_TRIM_THRESHOLD_="4096") < 0.1


def test_a_payload_has_its_own_key_and_stays_what_it_is() -> None:
    payload = Payload(np.zeros(3, np.uint8))
    assert hold(payload) is payload
    assert payload_key() != payload_key()


def test_the_thread_pools_of_libraries_are_bounded() -> None:
    bounds = {name: value for name, value in environment(3).items() if name.endswith("_THREADS")}
    assert set(bounds.values()) == {"3"}
    assert {"OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"} <= bounds.keys()

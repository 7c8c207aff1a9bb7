from __future__ import annotations

import subprocess
import sys

import pytest

from latentscan import processors
from latentscan.processors import memory_bytes, threads_that_fit

LIMITED = """
import resource
from pathlib import Path
from latentscan.processors import THREAD_BYTES, threads_that_fit
have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + int({threads} * THREAD_BYTES),) * 2)
try:
    print(threads_that_fit(4))
except MemoryError as error:
    print(error)
"""


def test_the_memory_is_that_of_the_machine_or_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "limited").write_text("1000000\n")
    (folder / "unlimited").write_text("max\n")
    monkeypatch.setattr(processors, "_LIMITS", ())
    whole = memory_bytes()
    assert whole is not None
    assert whole > 2**26
    for name, expected in (("limited", 1_000_000), ("unlimited", whole), ("absent", whole)):
        monkeypatch.setattr(processors, "_LIMITS", (str(folder / name),))
        assert memory_bytes() == expected


def test_as_many_threads_as_are_wanted_where_nothing_is_limited() -> None:
    assert threads_that_fit(64) == 64


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
@pytest.mark.parametrize(("threads", "expected"), [(9.5, "4"), (3.5, "2"), (1.5, "(16")])
def test_no_more_threads_than_the_address_space_has_room_for(threads: float, expected: str) -> None:
    code = LIMITED.format(threads=threads)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(expected)

"""Memory: what a command takes does not grow with the store, and a limit on it ends in a clear message.

Chunks are filled up with padding: what sixty rows take must not follow from the rows that a chunk could hold.
"""

from __future__ import annotations

import resource
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.builders import build_store
from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_USAGE, DONE, FAILED, run
from tests.reliability.nursery import Ended, forked, tail_of, virtual_bytes
from tests.reliability.small_store import import_what_is_used, random_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.reliability.campaign import Bench

MIB = 2**20
COMPONENTS, CHUNK_ROWS = 64, 1024
BLOCKS = 8  # of the small store; the large one has ten times as many
LARGE = 10
MOST_GROWTH_BYTES = 24 * MIB  # the large store is 360 MiB larger: a fifteenth of it
COMMANDS = {
    "stats": ("stats", "--force", "--json"),
    "axes": ("axes", "--force", "--json"),
    "pca": ("pca", "--force", "--json"),
    "collapse": ("collapse", "--force", "--json"),
    "check": ("check",),
}
# beyond what the process has when it begins; OpenBLAS would end the process for want of its own buffer
LIMITS_MIB = (96, 112, 128, 160, 192, 256, 384, 448, 512, 576, 640, 768, 1024)
PADDED_ROWS = (5_000_000, 2**31, 2**62, 10**20)
MOST_PADDED_BYTES = 2 * MIB  # of sixty rows on the disk
MOST_PADDED_PEAK = 300 * MIB


def faults(bench: Bench) -> Iterator[Fault]:
    """List the commands on stores of two sizes, under limits, and on a store of mostly padding."""
    import_what_is_used(bench, _use)
    bench.made(_prepare)
    for name, words in COMMANDS.items():
        yield Fault("growth", name, partial(_growth, bench.folder, words), limit_s=120)
        for limit in LIMITS_MIB:
            attempt = partial(_limited, bench.folder, words, limit * MIB)
            yield Fault("limit", f"{name} within {limit} MiB", attempt, limit_s=60)
    for rows in PADDED_ROWS:
        yield Fault("padding", f"blocks of {rows}", partial(_padded, rows), limit_s=60)


PART = Part("memory", "growth with the store, limits, padding", faults, quick=6, full=1000)


def _prepare(folder: Path) -> None:
    for name, blocks in (("small", BLOCKS), ("large", BLOCKS * LARGE)):
        shape: dict[str, Any] = {
            "images": blocks * CHUNK_ROWS,
            "components": COMPONENTS,
            "chunk_rows": CHUNK_ROWS,
        }
        build_store(folder / f"{name}.zarr", **shape, seed=0)


def _use(folder: Path) -> None:
    build_store(folder / "small.zarr", images=CHUNK_ROWS, components=COMPONENTS, chunk_rows=CHUNK_ROWS)
    for words in COMMANDS.values():
        run(*words, "--store", str(folder / "small.zarr"))
    _padded(100, folder)


def _growth(shared: Path, words: tuple[str, ...], folder: Path) -> Finding:
    peaks = []
    for name in ("small", "large"):
        found = forked(partial(_peak, (*words, "--store", str(shared / f"{name}.zarr"), *_elsewhere(words))))
        if isinstance(found, Finding | Ended):
            return found if isinstance(found, Finding) else Finding(Verdict.UNEXPECTED, str(found))
        peaks.append(found)
    small, large = peaks
    note = f"{words[0]} takes {small / MIB:.0f} MiB, of a store {LARGE} times larger {large / MIB:.0f} MiB"
    is_flat = large - small <= MOST_GROWTH_BYTES
    return Finding(Verdict.SURVIVED if is_flat else Verdict.SILENT, "" if is_flat else note, note)


def _peak(words: tuple[str, ...]) -> int | Finding:
    """Run a command, and return what it took beyond what the process had."""
    before = _resident_bytes()
    said = run(*words)
    return said.breach(DONE) or _peak_bytes() - before


def _limited(shared: Path, words: tuple[str, ...], limit: int, folder: Path) -> Finding:
    """Run a command with little memory: it ends well, or says that there is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (virtual_bytes() + limit, hard))
    said = run(*words, "--store", str(shared / "small.zarr"), *_elsewhere(words))
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    breach = said.breach(DONE, FAILED)
    return breach or Finding(Verdict.SURVIVED if said.code == DONE else Verdict.DETECTED, tail_of(said.err))


def _padded(rows: int, folder: Path) -> Finding:
    """Write sixty rows in one chunk that could hold many more, or see that refused."""
    np.save(folder / "z.npy", random_points(0))
    before = _resident_bytes()
    words = ("--z", folder / "z.npy", "--chunk-rows", str(rows), "--store", folder / "padded.zarr")
    said = run("ingest", *words)
    if breach := said.breach(DONE, BAD_USAGE):
        return breach
    if said.code != DONE:
        return Finding(Verdict.DETECTED, tail_of(said.err))
    peak = _peak_bytes() - before
    size = sum(file.stat().st_size for file in (folder / "padded.zarr").rglob("*") if file.is_file())
    is_right = size <= MOST_PADDED_BYTES and peak <= MOST_PADDED_PEAK
    taken = f"sixty rows take {size / MIB:.0f} MiB on the disk and {peak / MIB:.0f} MiB of memory"
    return Finding(Verdict.SURVIVED if is_right else Verdict.SILENT, taken)


def _elsewhere(words: tuple[str, ...]) -> tuple[str, ...]:
    return () if words[0] == "check" else ("--results", "results.zarr")


def _resident_bytes() -> int:
    """Return what this process has in memory, and begin to measure its peak anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _peak_bytes() -> int:
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024

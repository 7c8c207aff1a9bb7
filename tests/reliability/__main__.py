"""Try what may go wrong with a store, with input and with numbers, and print a table of how each part ended.

Run as `python -m tests.reliability [--quick | --full] [--part NAME]... [--seed N] [--only TEXT]`. It fails if
anything was silently wrong, unexpected, or without an end; each such fault is listed with the command that
repeats it. A quick run takes about a minute and is part of the tests; a full one, about half an hour on two
processors, belongs before a release. Where a part has more faults than it tries, a seed picks of every kind.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tests.reliability import (
    damage,
    determinism,
    inputs,
    kills,
    memory,
    models,
    numerics,
    options,
    sockets,
    writers,
)
from tests.reliability.campaign import GIB, Bench, Fault, Part, Tally, Verdict, pick
from tests.reliability.interposer import compile_interposer
from tests.reliability.nursery import Nursery
from tests.tables import table_line

if TYPE_CHECKING:
    from collections.abc import Sequence

# the one that imports TensorFlow comes last: each fork copies the tables of its memory
PARTS: tuple[Part, ...] = (
    damage.PART,
    kills.PART,
    writers.PART,
    inputs.PART,
    options.PART,
    numerics.PART,
    determinism.PART,
    memory.PART,
    sockets.PART,
    models.PART,
)
PROGRESS_S = 10.0  # between lines
MOST_LISTED = 5  # failures of a kind
COLUMNS = ("part", "faults", "tried", "survived", "detected", "silent", "unexp.", "hangs", "s")
FOLDER = "LATENTSCAN_RELIABILITY"  # the variable that names the folder to work in, once it exists
MEMORY, LEAST_MEMORY_BYTES = Path("/dev/shm"), 4 * GIB  # noqa: S108 (a folder of its own is made in it)
VARIABLES = {  # as many processes run as there are processors; and TensorFlow is silent
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign, and return its exit code."""
    given = _arguments(words)
    folder = _interposed(given.folder, sys.argv[1:] if words is None else words)
    try:
        library = os.environ.get("LD_PRELOAD")
        nursery = Nursery(_made(folder / "trials"), given.jobs)
        tallies = []
        for part in PARTS:
            if not given.part or part.name in given.part:
                shared = _made(folder / part.name)
                bench = Bench(given.seed, shared, nursery, None if library is None else Path(library))
                tallies.append(_run(part, bench, given))
        _print(tallies, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    failed = any(tally.failures for tally in tallies)
    return int(failed or (given.full and any(tally.skipped for tally in tallies)))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__.splitlines()[0])
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="some faults of each kind (the default)")
    scale.add_argument("--full", action="store_true", help="before a release")
    parser.add_argument("--part", action="append", default=[], choices=[part.name for part in PARTS])
    parser.add_argument("--seed", type=int, default=0, help="picks the faults, and what is random in them")
    parser.add_argument("--only", default="", metavar="TEXT", help="all faults whose name contains TEXT")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--folder", type=Path, help="where files are made; in memory, where there is room")
    return parser.parse_args(words)


def _interposed(where: Path | None, words: Sequence[str]) -> Path:
    """Return the folder to work in, with the interposer loaded where it can be compiled.

    A library can only be loaded before a program begins: this process begins anew with it.
    """
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    folder = Path(tempfile.mkdtemp(prefix="latentscan-", dir=where or _in_memory()))
    library = compile_interposer(folder)
    if library is not None:
        variables = {**os.environ, **VARIABLES, FOLDER: str(folder)}
        command = [sys.executable, "-m", "tests.reliability", *words]
        os.execve(sys.executable, command, {**variables, "LD_PRELOAD": str(library)})  # noqa: S606
    return folder


def _in_memory() -> Path | None:
    """Return the folder whose files are in memory: a trial makes hundreds, and a disk is ten times slower."""
    is_large = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= LEAST_MEMORY_BYTES
    return MEMORY if is_large else None


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(part: Part, bench: Bench, given: argparse.Namespace) -> Tally:
    tally, began = Tally(part), time.monotonic()
    if part.needs_interposer and bench.interposer is None:
        tally.skipped = "skipped: no C compiler"
        return tally
    _say(f"{part.name}: preparing")
    for module in part.modules:
        importlib.import_module(module)
    tally.listed, chosen = _chosen(part, bench, given)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of it
    said = time.monotonic()
    for fault, finding in bench.nursery.trials(chosen):
        tally.add(fault, finding)
        if given.only or finding.verdict.is_failure:
            _say(f"{part.name}: {finding.verdict.value}: {fault.name}: {finding.said}")
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            _say(f"{part.name}: {tally.tried} of {len(chosen)}, {len(tally.failures)} failed")
    tally.wall_s = time.monotonic() - began
    return tally


def _chosen(part: Part, bench: Bench, given: argparse.Namespace) -> tuple[int, list[Fault]]:
    """Return how many faults there are, and those to try; no process to come carries the others."""
    faults = list(part.faults(bench))
    if given.only:
        return len(faults), [fault for fault in faults if given.only in fault.name]
    return len(faults), pick(faults, part.full if given.full else part.quick, given.seed)


def _print(tallies: Sequence[Tally], given: argparse.Namespace) -> None:
    print(table_line(COLUMNS))
    for tally in tallies:
        counts = [tally.counts[verdict] for verdict in Verdict]
        cells = [tally.part.name, tally.listed, tally.tried, *counts, f"{tally.wall_s:.0f}"]
        print(f"{tally.part.name:<13}{tally.skipped}" if tally.skipped else table_line(cells))
    for tally in tallies:
        for note in tally.notes:
            print(note)
    for tally in tallies:
        _print_failures(tally, given)


def _print_failures(tally: Tally, given: argparse.Namespace) -> None:
    """List failures by kind, and the command that repeats each."""

    def kind(failure: tuple[Fault, object]) -> str:
        return failure[0].kind

    for name, group in groupby(sorted(tally.failures, key=kind), kind):
        alike = list(group)
        print(f"\n{tally.part.name}, {name}: {len(alike)} failed")
        for fault, finding in alike if given.only else alike[:MOST_LISTED]:
            print(f"  {finding.verdict.value}: {fault.name}: {finding.said}")
            words = ["--part", tally.part.name, "--seed", str(given.seed), "--only", fault.name]
            print(f"    python -m tests.reliability {shlex.join(words)}")
        if len(alike) > MOST_LISTED and not given.only:
            print(f"  ... and {len(alike) - MOST_LISTED} more")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

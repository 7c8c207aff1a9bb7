"""Count how often analyses are wrong, and print it beside what they state.

Run as `python -m tests.rates [--seeds N] [--first SEED] [--only NAME]...`. Each analysis is tried on data of
as many seeds where there is nothing to find, and where something is planted; its verdicts are read from its
result, as a user reads them. Where an analysis draws a Gaussian twin, its seed is another each time, or one
twin, by chance a good or a bad one, would decide of all data.

It fails if a verdict is false more often than is stated, beyond what chance explains in 95 % of campaigns: of
twenty verdicts one is then said to fail by chance alone, which other seeds (`--first`) decide. A hundred
seeds of one analysis take a few minutes on one processor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from tests.rates import kmeans, labels, ledger, logvar, outliers, randoms, runs, shape
from tests.rates.campaign import Part, Tally
from tests.tables import table_line

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS: tuple[Part, ...] = (
    shape.PART,
    labels.PART,
    logvar.PART,
    randoms.PART,
    runs.PART,
    kmeans.PART,
    outliers.PART,
    ledger.PART,
)
COLUMNS = ("verdict", "states", "false", "at most", "found", "s")
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)
WIDE = 58  # of the first column


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rates", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them")
    parser.add_argument("--only", action="append", default=[], choices=[part.name for part in PARTS])
    given = parser.parse_args(words)
    print(table_line(COLUMNS, WIDE))
    failed = False
    for part in PARTS:
        if not given.only or part.name in given.only:
            tally = _run(part, range(given.first, given.first + given.seeds))
            _print(tally)
            failed = failed or bool(tally.failures)
    return int(failed)


def _run(part: Part, seeds: Sequence[int]) -> Tally:
    tally, began = Tally(part), time.monotonic()
    with threadpool_limits(1):
        for seed in seeds:
            with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
                tally.try_once(Path(folder), seed)
    tally.wall_s = time.monotonic() - began
    return tally


def _print(tally: Tally) -> None:
    for name, stated in tally.part.states.items():
        counts = (tally.false[name], tally.most(name), tally.found[name])
        line = table_line(
            (f"{tally.part.name}: {name}", f"{100 * stated:g} %", *counts, f"{tally.wall_s:.0f}"), WIDE
        )
        print(line + ("  false too often" if name in tally.failures else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())

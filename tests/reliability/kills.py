"""Kills and failing calls at every call of the file system that creates, commits, resumes, repairs or saves.

After each, the same command is run again: it must end well, with the bytes of an uninterrupted run, and with
nothing left over. What fails (a full disk, a broken one, too many open files) must be reported as such.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_STORE, BAD_USAGE, DONE, FAILED, Said, run
from tests.reliability.interposer import ERRORS, KILL, Calls, arm, calls
from tests.reliability.nursery import Ended, answer_of, forked
from tests.reliability.small_store import contents, difference, import_what_is_used, random_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.reliability.campaign import Bench

INGEST = ("ingest", "--z", "z.npy", "--mu", "mu.npy", "--chunk-rows", "20", "--store", "s.zarr")
STATS = ("stats", "--json", "--store", "s.zarr")
WAYS = {  # and the calls that may end so
    "kill": Calls.CHANGE,
    "ENOSPC": Calls.CHANGE,
    "EIO": Calls.CHANGE | Calls.READ,
    "EMFILE": Calls.OPEN,
}
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Scenario:
    """A command, and what makes the folder that it begins with."""

    words: tuple[str, ...]
    begin: Callable[[Path], None]


def _inputs(folder: Path) -> None:
    np.save(folder / "z.npy", random_points(0))
    np.save(folder / "mu.npy", random_points(1))


def _whole(folder: Path) -> None:
    _inputs(folder)
    _must(run(*INGEST))


def _half(folder: Path) -> None:
    _whole(folder)
    for block in (1, 2):
        for file in (f"digest/c/{block}/0/0", f"commits/digest/c/{block}/0/0", f"z/c/{block}/0"):
            (folder / "s.zarr" / file).unlink(missing_ok=True)


def _damaged(folder: Path) -> None:
    _whole(folder)
    _must(run(*STATS))
    store = folder / "s.zarr"
    next(store.glob("analyses/stats/*/mean/c/0/0")).write_bytes(b"damaged")
    (store / "mu/zarr.json").write_bytes(b"damaged")
    shutil.copy(store / "z/c/1/0", store / "z/c/1/0.0123456789abcdef0123456789abcdef.partial")


def _analysed(folder: Path) -> None:
    _whole(folder)
    _must(run(*STATS))


SCENARIOS = {
    "create": Scenario(INGEST, _inputs),
    "resume": Scenario(INGEST, _half),
    "save a result": Scenario(STATS, _whole),
    "save elsewhere": Scenario((*STATS, "--results", "r.zarr"), _whole),
    "replace a result": Scenario((*STATS, "--force"), _analysed),
    "repair": Scenario(("check", "--repair", "--store", "s.zarr"), _damaged),
    "remove results": Scenario(("results", "remove", "--all", "--yes", "--store", "s.zarr"), _analysed),
}


def faults(bench: Bench) -> Iterator[Fault]:
    """List the faults: each scenario, each way to fail, each call."""
    import_what_is_used(bench, _use)
    for name, scenario in SCENARIOS.items():
        begun, ended = bench.folder / name / "begun", bench.folder / name / "ended"
        counts, expected = bench.made(partial(_count, scenario, begun, ended))
        for way, kinds in WAYS.items():
            for number in range(1, counts[way] + 1):
                attempt = partial(_attempt, scenario, begun, expected, way, kinds, number)
                yield Fault(f"{way} while: {name}", f"call {number}", attempt, limit_s=60)


PART = Part(
    "kills",
    "SIGKILL, ENOSPC, EIO, EMFILE at every file-system call",
    faults,
    quick=28,
    full=1200,
    needs_interposer=True,
)


def _use(folder: Path) -> None:
    for name, scenario in SCENARIOS.items():
        work = folder / name
        work.mkdir()
        _begin(work, scenario)
        run(*scenario.words)


def _count(scenario: Scenario, begun: Path, ended: Path, _: Path) -> tuple[dict[str, int], Contents]:
    """Run a scenario uninterrupted, and return how many calls may end in each way, and what it leaves."""
    begun.mkdir(parents=True)
    answer_of(
        forked(partial(_begin, begun, scenario))
    )  # whoever has run a command has threads, and may not fork
    shutil.copytree(begun, ended)
    return answer_of(forked(partial(_counted, ended, scenario.words))), contents(ended)


def _begin(folder: Path, scenario: Scenario) -> None:
    os.chdir(folder)
    scenario.begin(folder)


def _counted(folder: Path, words: tuple[str, ...]) -> dict[str, int]:
    os.chdir(folder)
    arm(folder, Calls.CHANGE | Calls.OPEN | Calls.READ)
    _must(run(*words))
    return {way: calls(kinds) for way, kinds in WAYS.items()}


def _attempt(
    scenario: Scenario, begun: Path, expected: Contents, way: str, kinds: Calls, number: int, folder: Path
) -> Finding:
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    spoiled = forked(partial(_spoiled, folder, scenario.words, way, kinds, number))
    verdict = Verdict.SURVIVED
    if isinstance(spoiled, Said):
        if breach := spoiled.breach(DONE, FAILED, BAD_USAGE, BAD_STORE):
            return breach
        if spoiled.code == DONE and (what := difference(contents(folder), expected)):
            return Finding(Verdict.SILENT, f"ended well at once, but {what}")
        verdict = Verdict.DETECTED if spoiled.code != DONE else Verdict.SURVIVED
    again = forked(partial(run, *scenario.words))
    if isinstance(again, Ended):
        return Finding(Verdict.UNEXPECTED, f"run again: {again}")
    if breach := again.breach(DONE):
        return Finding(breach.verdict, f"run again: {breach.said}")
    if what := difference(contents(folder), expected):
        return Finding(Verdict.SILENT, f"run again, ended well, but {what}")
    return Finding(verdict)


def _spoiled(folder: Path, words: tuple[str, ...], way: str, kinds: Calls, number: int) -> Said:
    arm(folder, kinds, number, ERRORS.get(way, KILL), sticky=way == "ENOSPC")
    return run(*words)


def _must(said: Said) -> None:
    if said.code != DONE:
        raise RuntimeError(f"{said.words}: {said.err}")

"""Two commands at once on one store: it ends as after one of them, or one is refused cleanly."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_STORE, BAD_USAGE, DONE, Said, run
from tests.reliability.nursery import Ended, forked, together
from tests.reliability.small_store import contents, difference, import_what_is_used, random_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reliability.campaign import Bench

RACES = 50
LATEST_S = 0.15  # by which one begins after the other
STORE = "s.zarr"


def _ingest(file: str) -> tuple[str, ...]:
    return ("ingest", "--z", file, "--chunk-rows", "5", "--store", STORE)


@dataclass(frozen=True)
class Race:
    """Two commands, what was run before them, and after which of them alone the store may be as it is.

    Commands that do not wait for the other may do their work in any order: each order is an end.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()


STATS, PCA = (("stats", "--json", "--store", STORE), ("pca", "--json", "--store", STORE))
REMOVE = ("results", "remove", "--all", "--yes", "--store", STORE)
RACES_OF = {
    "the same ingest twice": Race(_ingest("z.npy"), _ingest("z.npy")),
    "ingest of two files": Race(_ingest("z.npy"), _ingest("other.npy")),
    "the same analysis twice": Race(STATS, STATS, (_ingest("z.npy"),)),
    "two analyses": Race(STATS, PCA, (_ingest("z.npy"),)),
    "remove and analyse": Race(REMOVE, PCA, (_ingest("z.npy"), STATS)),
    "repair and analyse": Race(("check", "--repair", "--store", STORE), PCA, (_ingest("z.npy"), STATS)),
}


def faults(bench: Bench) -> Iterator[Fault]:
    """List the races, each with delays that the seed decides."""
    import_what_is_used(bench, _use)
    chance = random.Random(bench.seed)
    for name, race in RACES_OF.items():
        begun = bench.folder / name
        ends = bench.made(partial(_prepare, race, begun))
        for number in range(RACES):
            delay_s = chance.uniform(0, LATEST_S)
            attempt = partial(_attempt, race, begun, ends, delay_s)
            yield Fault(name, f"race {number}, {delay_s:.3f} s apart", attempt, limit_s=60)


PART = Part("writers", "two commands at once on one store", faults, quick=6, full=150)


def _inputs(folder: Path) -> None:
    os.chdir(folder)
    np.save("z.npy", random_points(0))
    np.save("other.npy", random_points(1))


def _use(folder: Path) -> None:
    _inputs(folder)
    for words in (_ingest("z.npy"), STATS, PCA, REMOVE, ("check", "--repair", "--store", STORE)):
        run(*words)


def _prepare(race: Race, begun: Path, folder: Path) -> list[dict[str, bytes]]:
    """Make the folder that a race begins with, and return what may be in it at the end."""
    begun.mkdir()
    forked(partial(_runs, begun, race.before))
    ends = []
    for order in ((race.first, race.second), (race.second, race.first)):
        work = folder / "ordered"
        shutil.copytree(begun, work)
        forked(partial(_runs, work, order))
        ends.append(contents(work))
        shutil.rmtree(work)
    return ends


def _runs(folder: Path, commands: tuple[tuple[str, ...], ...]) -> None:
    _inputs(folder)
    for words in commands:
        run(*words)


def _attempt(race: Race, begun: Path, ends: list[dict[str, bytes]], delay_s: float, folder: Path) -> Finding:
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    said = together([partial(run, *race.first), partial(_later, race.second, delay_s)])
    if ended := next((one for one in said if isinstance(one, Ended)), None):
        return Finding(Verdict.UNEXPECTED, str(ended))
    exits = [one.code for one in said if isinstance(one, Said)]
    for one in said:
        if isinstance(one, Said) and (breach := one.breach(DONE, BAD_USAGE, BAD_STORE)):
            return breach
    checked = forked(partial(run, "check", "--store", STORE))
    if isinstance(checked, Ended) or checked.code != DONE:
        return Finding(Verdict.SILENT, f"exits {exits}, then check says: {checked}")
    found = contents(folder)
    differences = [difference(found, end) for end in ends]
    if all(differences):
        return Finding(Verdict.SILENT, f"exits {exits}, then {' / '.join(differences)}")
    return Finding(Verdict.DETECTED if any(exits) else Verdict.SURVIVED)


def _later(words: tuple[str, ...], delay_s: float) -> Said:
    time.sleep(delay_s)
    return run(*words)

"""What a campaign is made of: parts, which list faults, each of which ends in a finding.

A fault is tried in a process of its own, in an empty folder, with limits of time and memory (see `nursery`).
A part lists all of its faults by name, whatever is then run of them: a run picks some by a seed, and any of
them can be repeated alone by its name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.reliability.nursery import Nursery

T = TypeVar("T")

GIB = 2**30


class Verdict(Enum):
    """How a fault ended; the last three must not happen."""

    SURVIVED = "survived"  # the right result
    DETECTED = "detected"  # an error that says what is wrong, with the exit code that it should have
    SILENT = "silently wrong"  # success, and something is wrong
    UNEXPECTED = "unexpected"  # an error of the program itself, a wrong exit code, a crash
    HANG = "hang"  # no end within the limit

    @property
    def is_failure(self) -> bool:
        """Whether it must not happen."""
        return self in (Verdict.SILENT, Verdict.UNEXPECTED, Verdict.HANG)


@dataclass(frozen=True)
class Finding:
    """How a fault ended, what was said or seen, and a figure to print whatever the verdict."""

    verdict: Verdict
    said: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that may go wrong.

    Parameters
    ----------
    kind
        Faults of one kind are alike: a run that picks some picks of every kind.
    name
        Unique within its part; begins with the kind.
    attempt
        Called in a process of its own, in an empty folder, which it is passed.
    limit_s
        After it, the process is killed.
    memory_bytes
        What the process may allocate beyond what it has when it begins.
    estimate
        The pattern of a text on stderr that tells the user how long it takes; empty where none can.
    """

    kind: str
    detail: str
    attempt: Callable[[Path], Finding]
    limit_s: float = 20.0
    memory_bytes: int = 4 * GIB
    estimate: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports, and by whom who wants to repeat it."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True)
class Bench:
    """What a part works with: the seed, a folder for what its faults share, and processes to make it in."""

    seed: int
    folder: Path
    nursery: Nursery
    interposer: Path | None

    def made(self, make: Callable[[Path], T]) -> T:
        """Call `make` with the shared folder in a process of its own, and return what it returns."""
        return self.nursery.made(make, self.folder)


@dataclass(frozen=True)
class Part:
    """A part of the campaign.

    Parameters
    ----------
    name
        One word.
    about
        What is tried, in a line.
    faults
        Lists all faults.
    quick, full
        How many of them a quick and a full run try, picked by the seed.
    modules
        Imported before the first fault, so that it costs each nothing.
    needs_interposer
        Whether nothing can be tried without a C compiler.
    """

    name: str
    about: str
    faults: Callable[[Bench], Iterable[Fault]]
    quick: int
    full: int
    modules: tuple[str, ...] = ()
    needs_interposer: bool = False


@dataclass
class Tally:
    """What came out of a part."""

    part: Part
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    failures: list[tuple[Fault, Finding]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    listed: int = 0  # faults that there are, whatever was tried of them
    wall_s: float = 0.0
    skipped: str = ""

    def add(self, fault: Fault, finding: Finding) -> None:
        """Count a finding."""
        self.counts[finding.verdict] += 1
        if finding.verdict.is_failure:
            self.failures.append((fault, finding))
        if finding.note:
            self.notes.append(f"{self.part.name}: {finding.note}")

    @property
    def tried(self) -> int:
        """How many faults were tried."""
        return sum(self.counts.values())


def pick(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """Pick faults by a seed, of each kind in turn, so that a few are of every kind.

    Examples
    --------
    >>> faults = [Fault("a", str(n), lambda _: Finding(Verdict.SURVIVED)) for n in range(9)]
    >>> faults.append(Fault("b", "", faults[0].attempt))
    >>> sorted(fault.kind for fault in pick(faults, 3, seed=0))
    ['a', 'a', 'b']
    """
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    for kind, alike in kinds.items():
        random.Random(f"{seed} {kind}").shuffle(alike)
    longest = max(map(len, kinds.values()), default=0)
    in_turn = [alike[turn] for turn in range(longest) for alike in kinds.values() if turn < len(alike)]
    return in_turn[:count]

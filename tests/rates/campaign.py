"""What the campaign is made of: what analyses may say, how often falsely, and data to try them on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Draw = Callable[[Path, np.random.Generator], Mapping[str, bool]]

SURE = 0.95  # with which more false verdicts than stated are not chance


class Said(NamedTuple):
    """What was said, by verdict: of data of which it is false, and of data of which it is true."""

    false: Mapping[str, bool]
    found: Mapping[str, bool]


def apart(null: Draw, planted: Draw) -> Callable[[Path, np.random.Generator], Said]:
    """Return what tries an analysis on data where there is nothing to find, then on planted data.

    Parameters
    ----------
    null, planted
        Draw data in an empty folder, and return what is said of them.
    """

    def tried(folder: Path, rng: np.random.Generator) -> Said:
        for name in ("null", "planted"):
            (folder / name).mkdir()
        return Said(null(folder / "null", rng), planted(folder / "planted", rng))

    return tried


@dataclass(frozen=True)
class Part:
    """An analysis, tried on data of which the right verdict is known.

    Parameters
    ----------
    name
        Of the analysis.
    states
        What it may say, and the probability that it states of saying so falsely.
    tried
        Draws data, in an empty folder, and returns which of that is said of them.
    """

    name: str
    states: Mapping[str, float]
    tried: Callable[[Path, np.random.Generator], Said]


@dataclass
class Count:
    """How often something was said, of how many times that it could have been."""

    said: int = 0
    of: int = 0

    def add(self, is_said: bool) -> None:
        """Count once more."""
        self.said += is_said
        self.of += 1

    def __str__(self) -> str:
        return f"{self.said}/{self.of}" if self.of else "–"


@dataclass
class Tally:
    """What came out of a part, by verdict."""

    part: Part
    false: dict[str, Count] = field(init=False)
    found: dict[str, Count] = field(init=False)
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        self.false, self.found = ({name: Count() for name in self.part.states} for _ in range(2))

    def try_once(self, folder: Path, seed: int) -> None:
        """Try the part on data of a seed, in an empty folder."""
        # a sequence of its own: were it that of a Gaussian twin of an analysis, that would be the data
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        said = self.part.tried(folder, rng)
        for counts, by_name in ((self.false, said.false), (self.found, said.found)):
            for name, is_said in by_name.items():
                counts[name].add(is_said)

    def most(self, name: str) -> int:
        """Return the most false verdicts that chance explains, where an analysis states its rate truly."""
        from scipy.stats import binom

        return int(binom.ppf(SURE, self.false[name].of, self.part.states[name]))

    @property
    def failures(self) -> list[str]:
        """The verdicts that are false more often than stated."""
        return [name for name, count in self.false.items() if count.said > self.most(name)]


@cache
def shared_folder() -> Path:
    """Return a folder for what is made once for all seeds; it is gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="latentscan-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

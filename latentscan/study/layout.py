"""Where everything of the study lies, and what its analyses found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from latentscan.store.results import Result
    from latentscan.study.grid import Run


@dataclass(frozen=True)
class Layout:
    """Where everything of the study lies."""

    out: Path

    @property
    def faces(self) -> Path:
        """The images."""
        return self.out / "faces"

    def run(self, run: Run) -> Path:
        """Return the run folder of a training."""
        return self.out / "runs" / run.name

    def store(self, run: Run) -> str:
        """Return the store of a run."""
        return str(self.out / "stores" / f"{run.name}.zarr")


@dataclass(frozen=True)
class Found:
    """What the analyses of the study found.

    Parameters
    ----------
    of_run
        Of each run, by its name, then by analysis.
    of_grid
        Of all runs together, or of the first of every kind, by analysis.
    """

    of_run: Mapping[str, Mapping[str, Result]]
    of_grid: Mapping[str, Result]

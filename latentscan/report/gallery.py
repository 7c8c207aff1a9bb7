"""A picture of every result that is cached at a location."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.analyses.registry import ANALYSES
from latentscan.errors import StoreError
from latentscan.progress import SILENT
from latentscan.report.style import save_figure
from latentscan.report.views import view_of
from latentscan.store.metadata import no_store, read_root
from latentscan.store.results import Results

if TYPE_CHECKING:
    from latentscan.progress import Progress


def draw_results(location: str, out: Path, ending: str, *, progress: Progress = SILENT) -> list[Path]:
    """Plot the results that are cached at a location into a folder, and return the paths of the pictures.

    A picture is named by its analysis, and by the key of its result where there are several.

    Parameters
    ----------
    location
        A store, or a location of results alone.
    out
        The folder, which is made where it does not exist.
    ending
        ``.png``, ``.svg`` or ``.pdf``.
    progress
        A subscriber to the progress.

    Raises
    ------
    StoreError
        If no result is cached there.
    """
    if read_root(location) is None:
        raise no_store(location)
    entries = [entry for entry in Results(location).entries() if entry.analysis in ANALYSES]
    results = [(entry, found) for entry in entries if (found := Results(location).load(entry.path))]
    if not results:
        raise StoreError(f"{location} holds no results yet; compute some first: {', '.join(ANALYSES)}")
    out.mkdir(parents=True, exist_ok=True)
    several = Counter(entry.analysis for entry, _ in results)
    pictures = []
    with progress.task("draw", total=len(results), unit="pictures") as advance:
        for entry, result in results:
            key = f"-{entry.key[:6]}" if several[entry.analysis] > 1 else ""
            pictures.append(out / f"{entry.analysis}{key}{ending}")
            save_figure(view_of(entry.analysis).figure({Path(location).name: result}), pictures[-1])
            advance(1)
    return pictures

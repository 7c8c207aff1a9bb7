"""A picture of every result that is cached at a location."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.analyses.registry import ANALYSES
from latentscan.errors import ParameterError, StoreError
from latentscan.progress import SILENT
from latentscan.report.colouring import Colouring, as_coloured
from latentscan.report.style import save_figure
from latentscan.report.views import view_of
from latentscan.store.metadata import no_store, read_root
from latentscan.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from latentscan.progress import Progress
    from latentscan.report.image_columns import Column
    from latentscan.store.results import Result, ResultEntry


def draw_results(
    location: str, out: Path, ending: str, *, colour: str | None = None, progress: Progress = SILENT
) -> list[Path]:
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
    colour
        What the images on maps are coloured by, see `Colouring`; their radii if None.
    progress
        A subscriber to the progress.

    Raises
    ------
    StoreError
        If no result is cached there.
    UsageError
        If images cannot be coloured so, or no map is cached.
    """
    if read_root(location) is None:
        raise no_store(location)
    entries = [entry for entry in Results(location).entries() if entry.analysis in ANALYSES]
    results = [(entry, found) for entry in entries if (found := Results(location).load(entry.path))]
    if not results:
        raise StoreError(f"{location} holds no results yet; compute some first: {', '.join(ANALYSES)}")
    columns = [None] * len(results) if colour is None else _columns(colour, location, results)
    out.mkdir(parents=True, exist_ok=True)
    several = Counter(entry.analysis for entry, _ in results)
    pictures = []
    with progress.task("draw", total=len(results), unit="pictures") as advance:
        for (entry, result), column in zip(results, columns, strict=True):
            key = f"-{entry.key[:6]}" if several[entry.analysis] > 1 else ""
            pictures.append(out / f"{entry.analysis}{key}{ending}")
            save_figure(_figure(entry.analysis, Path(location).name, result, column), pictures[-1])
            advance(1)
    return pictures


def _columns(
    colour: str, location: str, results: Sequence[tuple[ResultEntry, Result]]
) -> list[Column | None]:
    """Return what the images of each result are coloured by; None of results that have no point an image."""
    colouring = Colouring.at(colour, location)
    colouring.require_known()
    columns = [
        colouring.of(result) if as_coloured(view_of(entry.analysis)) else None for entry, result in results
    ]
    if not any(columns):
        raise ParameterError("no map is cached; make one first", field="colour", value=colour)
    return columns


def _figure(analysis: str, name: str, result: Result, column: Column | None) -> Figure:
    view = view_of(analysis)
    points = None if column is None else as_coloured(view)
    if points is None or column is None:
        return view.figure({name: result})
    return points.coloured({name: result}, {name: column})

"""A picture of every result that a store holds."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import StoreError
from latentscan.progress import SILENT
from latentscan.report.compare import compare_plot
from latentscan.report.style import save_figure
from latentscan.store.results import list_results, load_result
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from latentscan.progress import Progress
    from latentscan.store.results import Result
    from latentscan.table import Analysis


def _plot_alone(analysis: Analysis, name: str, result: Result) -> Figure:
    return analysis.plot({name: result})


_PLOTS: dict[str, Callable[[str, Result], Figure]] = {
    **{name: partial(_plot_alone, analysis) for name, analysis in ANALYSES.items()},
    "compare": lambda _, pairs: compare_plot(pairs),
}


def draw_results(location: str, out: Path, ending: str, *, progress: Progress = SILENT) -> list[Path]:
    """Draw the results that are kept at a location into a folder, and give the paths of the pictures.

    A picture is named by its analysis, and by the key of its result where there are several.

    Parameters
    ----------
    ending
        ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    StoreError
        If no result is kept there.
    """
    held = [(name, path) for name, path in list_results(location) if name in _PLOTS]
    results = [(name, path, found) for name, path in held if (found := load_result(location, path))]
    if not results:
        names = ", ".join(_PLOTS)
        raise StoreError(f"{location} holds no results yet; compute some first, with latentscan {names}")
    out.mkdir(parents=True, exist_ok=True)
    several = Counter(name for name, *_ in results)
    pictures = []
    with progress.task("draw", total=len(results), unit="pictures") as advance:
        for name, path, result in results:
            key = f"-{Path(path).name[:6]}" if several[name] > 1 else ""
            pictures.append(out / f"{name}{key}{ending}")
            save_figure(_PLOTS[name](Path(location).name, result), pictures[-1])
            advance(1)
    return pictures

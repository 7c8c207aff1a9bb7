"""A picture of every result that a store holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import StoreError
from latentscan.progress import SILENT
from latentscan.report.style import save_figure
from latentscan.store.results import list_results, load_result
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from latentscan.progress import Progress


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
    results = [(name, path) for name, path in list_results(location) if name in ANALYSES]
    if not results:
        names = ", ".join(ANALYSES)
        raise StoreError(f"{location} holds no results yet; compute some first, with latentscan {names}")
    out.mkdir(parents=True, exist_ok=True)
    several = Counter(name for name, _ in results)
    pictures = []
    with progress.task("draw", total=len(results), unit="pictures") as advance:
        for name, path in results:
            result = load_result(location, path)
            if result is not None:
                key = f"-{Path(path).name[:6]}" if several[name] > 1 else ""
                pictures.append(out / f"{name}{key}{ending}")
                save_figure(ANALYSES[name].plot({Path(location).name: result}), pictures[-1])
            advance(1)
    return pictures

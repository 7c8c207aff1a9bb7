"""The table of analyses: what each is called, takes, computes, and looks like.

The CLI's verbs come from it; nothing else knows the name of an analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.analyses.stats import StatsParameters, stats
from latentscan.report.stats import radius_plot, stats_table
from latentscan.report.stats_json import stats_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure
    from pydantic import BaseModel
    from rich.console import RenderableType

    from latentscan.store.results import Result


@dataclass(frozen=True)
class Analysis:
    """One analysis.

    Parameters
    ----------
    parameters
        The model of its parameters, which make its command's options.
    run
        Computes it, or reads it where it is kept: (store, parameters, run) to a result.
    json
        Arranges a result as the document of ``--json``.
    text
        Draws results, by the name of their store, on a terminal.
    plot
        Draws the same as a figure.
    """

    parameters: type[BaseModel]
    run: Callable[..., Result]
    json: Callable[[Result], dict[str, Any]]
    text: Callable[[Mapping[str, Result]], RenderableType]
    plot: Callable[[Mapping[str, Result]], Figure]


ANALYSES: dict[str, Analysis] = {
    "stats": Analysis(StatsParameters, stats, stats_json, stats_table, radius_plot),
}

"""The table of analyses: what each is called, takes, computes, and looks like.

The CLI's verbs come from it; nothing else knows the name of an analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.analyses.axes import AxesParameters, axes
from latentscan.analyses.kmeans import KMeansParameters, kmeans
from latentscan.analyses.pca import PcaParameters, pca
from latentscan.analyses.stats import StatsParameters, stats
from latentscan.analyses.tsne import TsneParameters, aligned_maps, tsne
from latentscan.report.axes import axes_json, axes_plot, axes_table
from latentscan.report.kmeans import kmeans_json, kmeans_plot, kmeans_table
from latentscan.report.pca import pca_json, pca_plot, pca_table
from latentscan.report.stats import radius_plot, stats_table
from latentscan.report.stats_json import stats_json
from latentscan.report.tsne import tsne_json, tsne_plot, tsne_table

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
    many
        Runs it with several parameters at once, for less than one after another; its options then are
        lists of values, split at commas.
    """

    parameters: type[BaseModel]
    run: Callable[..., Result]
    json: Callable[[Result], dict[str, Any]]
    text: Callable[[Mapping[str, Result]], RenderableType]
    plot: Callable[[Mapping[str, Result]], Figure]
    many: Callable[..., list[Result]] | None = None


ANALYSES: dict[str, Analysis] = {
    "stats": Analysis(StatsParameters, stats, stats_json, stats_table, radius_plot),
    "axes": Analysis(AxesParameters, axes, axes_json, axes_table, axes_plot),
    "pca": Analysis(PcaParameters, pca, pca_json, pca_table, pca_plot),
    "kmeans": Analysis(KMeansParameters, kmeans, kmeans_json, kmeans_table, kmeans_plot),
    "tsne": Analysis(TsneParameters, tsne, tsne_json, tsne_table, tsne_plot, aligned_maps),
}

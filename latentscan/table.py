"""The table of analyses: what each is called, takes, computes, and looks like.

The CLI's verbs come from it; nothing else knows the name of an analysis. A row is imported when it is first
looked at, so that a command waits for its own analysis alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pydantic import BaseModel
    from rich.console import RenderableType

    from latentscan.scan.cost import Cost
    from latentscan.store.results import Result
    from latentscan.store.schema import Schema


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
    cost
        Tells what it costs before it is run: (schema, parameters, number of workers) to a `Cost`; of
        several parameters, as a sequence, where there is `many`.
    """

    parameters: type[BaseModel]
    run: Callable[..., Result]
    json: Callable[[Result], dict[str, Any]]
    text: Callable[[Mapping[str, Result]], RenderableType]
    plot: Callable[[Mapping[str, Result]], Figure]
    cost: Callable[[Schema, Any, int], Cost]
    many: Callable[..., list[Result]] | None = None


class Table(Mapping[str, Analysis]):
    """Analyses by name, each made by a function when it is first looked at."""

    def __init__(self, rows: Mapping[str, Callable[[], Analysis]]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> Analysis:
        return self._rows[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@cache
def _stats() -> Analysis:
    from latentscan.analyses.cost import stats_cost
    from latentscan.analyses.stats import StatsParameters, stats
    from latentscan.report.stats import radius_plot, stats_table
    from latentscan.report.stats_json import stats_json

    return Analysis(StatsParameters, stats, stats_json, stats_table, radius_plot, stats_cost)


@cache
def _axes() -> Analysis:
    from latentscan.analyses.axes import AxesParameters, axes
    from latentscan.analyses.cost import axes_cost
    from latentscan.report.axes import axes_json, axes_plot, axes_table

    return Analysis(AxesParameters, axes, axes_json, axes_table, axes_plot, axes_cost)


@cache
def _pca() -> Analysis:
    from latentscan.analyses.cost import pca_cost
    from latentscan.analyses.pca import PcaParameters, pca
    from latentscan.report.pca import pca_json, pca_plot, pca_table

    return Analysis(PcaParameters, pca, pca_json, pca_table, pca_plot, pca_cost)


@cache
def _kmeans() -> Analysis:
    from latentscan.analyses.kmeans.analysis import KMeansParameters, kmeans
    from latentscan.analyses.kmeans.cost import kmeans_cost
    from latentscan.report.kmeans import kmeans_json, kmeans_plot, kmeans_table

    return Analysis(KMeansParameters, kmeans, kmeans_json, kmeans_table, kmeans_plot, kmeans_cost)


@cache
def _tsne() -> Analysis:
    from latentscan.analyses.tsne.analysis import TsneParameters, aligned_maps, tsne
    from latentscan.analyses.tsne.cost import tsne_cost
    from latentscan.report.tsne import tsne_json, tsne_plot, tsne_table

    return Analysis(TsneParameters, tsne, tsne_json, tsne_table, tsne_plot, tsne_cost, aligned_maps)


ANALYSES = Table({"stats": _stats, "axes": _axes, "pca": _pca, "kmeans": _kmeans, "tsne": _tsne})

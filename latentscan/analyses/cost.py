"""What the analyses that read a store once cost, as a function of its schema and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.kernels.adaptive import BINS
from latentscan.scan.cost import Cost, one_pass

if TYPE_CHECKING:
    from latentscan.analyses.axes import AxesParameters
    from latentscan.analyses.pca import PcaParameters
    from latentscan.analyses.stats import StatsParameters
    from latentscan.store.schema import Schema


def stats_cost(schema: Schema, _parameters: StatsParameters, _workers: int) -> Cost:
    """Return the cost of `stats`."""
    return one_pass(schema, ("mu", "logvar", "z"), tiles=3)


def axes_cost(schema: Schema, _parameters: AxesParameters, _workers: int) -> Cost:
    """Return the cost of `axes`."""
    histograms = 2 * schema.components * BINS * 8
    return one_pass(schema, ("mu", "z"), copies=2.2, partial_bytes=histograms, task_bytes=4 * histograms)


def pca_cost(schema: Schema, parameters: PcaParameters, _workers: int) -> Cost:
    """Return the cost of `pca`."""
    return one_pass(schema, (parameters.array,), partial_bytes=schema.components**2 * 8)

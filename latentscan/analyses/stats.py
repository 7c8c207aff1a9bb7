"""The study's table: logvar, deviation of z from mu, radii, KL and moments, in one pass over the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.rows import all_rejected
from latentscan.execution.threaded import IN_PROCESS
from latentscan.kernels.histogram import Bins
from latentscan.kernels.reduction import Reduction
from latentscan.kernels.statistics import (
    DeviationPartial,
    DifferencePartial,
    LogvarPartial,
    RadiusPartial,
    Settings,
    StatsPartial,
    stats_partial,
    unscaled_kl,
)
from latentscan.progress import SILENT
from latentscan.scan.reduce import reduce_store
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from latentscan.execution.executor import Executor
    from latentscan.kernels.moments import Moments
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore

MOST_BINS = 100_000
VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read


Interval = tuple[float, float]


class StatsParameters(BaseModel):
    """What `stats` counts, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    upper: float = Field(default=35.0, gt=0, description="end of the radius histogram")
    width: float = Field(
        default=0.5, gt=0, validate_default=True, description="width of a bin of the radius histogram"
    )
    threshold: float = Field(default=0.05, ge=0, description="count |z - mu| above this")
    interval: Interval = Field(
        default=(-3.0, 5.0), description="count logvar from LOW to HIGH, given LOW:HIGH"
    )
    ranges: tuple[Interval, ...] = Field(
        default=((14.0, 19.0), (12.0, 24.0)),
        description="fractions of the radii of z from LOW to below HIGH, given LOW:HIGH,LOW:HIGH",
    )

    @field_validator("interval", "ranges")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        for low, high in [value] if isinstance(value[0], float) else value:
            if not low < high:
                raise ValueError(f"expected LOW below HIGH, got {low:g}:{high:g}")
        return value

    @field_validator("width")
    @classmethod
    def _some_bins(cls, value: float, info: ValidationInfo) -> float:
        bins = info.data.get("upper", value) / value
        if not 1 <= bins <= MOST_BINS:
            raise ValueError(f"expected 1 to {MOST_BINS:,} bins up to --upper, got {bins:,.3g}")
        return value


def stats(
    store: LatentStore,
    parameters: StatsParameters | None = None,
    run: Run | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> Result:
    """Compute the statistics of a store: logvar, deviation of z from mu, radii, KL.

    Parameters
    ----------
    digests
        The commit record (block, array, 32) of the blocks to look at; read anew if None.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the result cannot be kept where it should be.
    """
    parameters, run = parameters or StatsParameters(), run or Run()
    compute = partial(
        compute_stats, store, parameters=parameters, executor=run.executor, progress=run.progress
    )
    return kept("stats", VERSION, store, parameters, run, compute, digests=digests)


def compute_stats(
    store: LatentStore,
    digests: NDArray[np.uint8],
    parameters: StatsParameters,
    *,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> Result:
    """Compute the statistics of the blocks that are written, and keep them nowhere.

    `digests` is the commit record (block, array, 32).
    """
    settings = Settings(
        deviation_threshold=parameters.threshold,
        interval=parameters.interval,
        bins=Bins(parameters.width, parameters.upper),
        ranges=parameters.ranges,
    )
    reduction: Reduction[StatsPartial, Result] = Reduction(
        arrays=("mu", "logvar", "z"),
        chunk=partial(stats_partial, settings=settings),
        combine=StatsPartial.merge,
        finalize=partial(_result, store=store, settings=settings),
    )
    return reduce_store(store, reduction, digests, label="stats", executor=executor, progress=progress)


def _result(found: StatsPartial, store: LatentStore, settings: Settings) -> Result:
    if not found.images:
        raise all_rejected(store, found.rejected)
    points = tuple(found.moments)
    variables = _moment_variables(found.moments) | _radius_variables(found.radii, settings)
    attributes: dict[str, Any] = {
        "images": found.images + found.rejected,
        "unwritten": store.schema.images - found.images - found.rejected,
        "rejected": found.rejected,
        "components": len(found.moments[points[0]].mean),
        "radius_width": settings.bins.width,
        "deviation_threshold": settings.deviation_threshold,
        "logvar_interval": list(settings.interval),
    }
    if found.logvar is not None:
        variables |= _logvar_variables(found.logvar, found.images)
    if found.deviation is not None:
        variables |= _deviation_variables(found.deviation)
    if found.difference is not None:
        variables |= _difference_variables(found.difference, found.images)
    if found.logvar is not None and "mu" in points:
        nats = unscaled_kl(found.moments["mu"], found.logvar)
        variables["kl"] = Variable(("component",), nats, {"units": "nat"})
    return Result(variables, attributes)


def _moment_variables(moments: Mapping[str, Moments]) -> dict[str, Variable]:
    names = ("mean", "variance", "skewness", "kurtosis")
    stacked = {name: np.array([getattr(m, name) for m in moments.values()]) for name in names}
    variables = {name: Variable(("array", "component"), values) for name, values in stacked.items()}
    return variables | {"array": Variable(("array",), np.array(list(moments)))}


def _radius_variables(radii: Mapping[str, RadiusPartial], settings: Settings) -> dict[str, Variable]:
    parts = radii.values()
    figures: dict[str, list[Any]] = {
        "radius_mean": [part.moments.mean[0] for part in parts],
        "radius_std": [np.sqrt(part.moments.variance[0]) for part in parts],
        "radius_min": [-part.negated_minimum.values[0] for part in parts],
        "radius_min_image": [part.negated_minimum.images[0] for part in parts],
        "radius_max": [part.maximum.values[0] for part in parts],
        "radius_max_image": [part.maximum.images[0] for part in parts],
        "radius_peak": [part.histogram.peak for part in parts],
        "radius_underflow": [part.histogram.underflow for part in parts],
        "radius_overflow": [part.histogram.overflow for part in parts],
    }
    variables = {name: Variable(("array",), np.array(values)) for name, values in figures.items()}
    counts = np.stack([part.histogram.counts for part in parts])
    within = np.stack([part.within / part.moments.count for part in parts])
    ranges = np.array([f"[{low:g},{high:g})" for low, high in settings.ranges])
    return variables | {
        "radius_histogram": Variable(("array", "bin"), counts),
        "radius_edge": Variable(("edge",), settings.bins.edges),
        "radius_within": Variable(("array", "range"), within),
        "range": Variable(("range",), ranges),
    }


def _logvar_variables(part: LogvarPartial, images: int) -> dict[str, Variable]:
    per_component: dict[str, NDArray[Any]] = {
        "logvar_max": part.maxima.values,
        "logvar_max_image": part.maxima.images,
        "logvar_min": -part.negated_minima.values,
        "logvar_min_image": part.negated_minima.images,
        "logvar_mean": part.total / images,
    }
    variables = {name: Variable(("component",), values) for name, values in per_component.items()}
    return variables | {"logvar_within": Variable((), np.array(part.within))}


def _deviation_variables(part: DeviationPartial) -> dict[str, Variable]:
    return {
        "deviation_max": Variable(("component",), part.maxima.values),
        "deviation_max_image": Variable(("component",), part.maxima.images),
        "deviation_above": Variable(("component",), part.above),
    }


def _difference_variables(part: DifferencePartial, images: int) -> dict[str, Variable]:
    return {
        "difference": Variable(("difference",), np.array(["absolute", "relative"])),
        "difference_max": Variable(("difference",), part.maxima.values),
        "difference_max_image": Variable(("difference",), part.maxima.images),
        "difference_mean": Variable(("difference",), part.total / images),
    }

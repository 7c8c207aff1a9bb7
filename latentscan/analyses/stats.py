"""The study's table: logvar, deviation of z from mu, radii, KL and moments, in one pass over the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import Analysis, Parameters, count_attributes
from latentscan.analyses.functions import call
from latentscan.errors import parameter
from latentscan.kernels.histogram import Bins
from latentscan.kernels.reduction import Footprint, Reduction
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
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.kernels.moments import Moments
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

MOST_BINS = 100_000
Interval = tuple[float, float]


class StatsParameters(Parameters):
    """What `stats` counts, and where."""

    upper: float = Field(default=35.0, gt=0, description="end of the radius histogram")
    width: float = Field(
        default=0.5, gt=0, validate_default=True, description="width of a bin of the radius histogram"
    )
    threshold: float = Field(default=0.05, ge=0, le=1e30, description="count |z - mu| above this")
    interval: Interval = Field(
        default=(-3.0, 5.0), description="count logvar from LOW to HIGH, given LOW:HIGH"
    )
    ranges: tuple[Interval, ...] = Field(
        default=((14.0, 19.0), (12.0, 24.0)),
        min_length=1,
        max_length=1000,
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
            raise ValueError(f"expected 1 to {MOST_BINS:,} bins up to {parameter('upper')}, got {bins:,.3g}")
        return value


def stats_reduction(store: StoreFacts, parameters: StatsParameters) -> Reduction[StatsPartial, Result]:
    """Return the statistics as a reduction: logvar, deviation of z from mu, radii, KL, moments."""
    settings = Settings(
        deviation_threshold=parameters.threshold,
        interval=parameters.interval,
        bins=Bins(parameters.width, parameters.upper),
        ranges=parameters.ranges,
    )
    return Reduction(
        arrays=("mu", "logvar", "z"),
        chunk=partial(stats_partial, settings=settings),
        combine=StatsPartial.merge,
        finalize=partial(_result, schema=store.schema, settings=settings),
        footprint=Footprint(tiles=3),
    )


LABELS = {  # what each variable is, and its unit
    "array": ("latent array", ""),
    "mean": ("mean over the images", "1"),
    "variance": ("variance over the images", "1"),
    "skewness": ("skewness over the images", "1"),
    "kurtosis": ("excess kurtosis over the images", "1"),
    "radius_mean": ("mean of the radii", "1"),
    "radius_std": ("standard deviation of the radii", "1"),
    "radius_min": ("smallest radius", "1"),
    "radius_min_image": ("image with the smallest radius", "1"),
    "radius_max": ("largest radius", "1"),
    "radius_max_image": ("image with the largest radius", "1"),
    "radius_peak": ("centre of the bin with most radii", "1"),
    "radius_underflow": ("images with a radius below the bins", "1"),
    "radius_overflow": ("images with a radius above the bins", "1"),
    "radius_histogram": ("images by radius", "1"),
    "radius_edge": ("edges of the bins of radii", "1"),
    "radius_within": ("share of the radii in a range", "1"),
    "range": ("range of radii", ""),
    "logvar_max": ("largest logvar", "1"),
    "logvar_max_image": ("image with the largest logvar", "1"),
    "logvar_min": ("smallest logvar", "1"),
    "logvar_min_image": ("image with the smallest logvar", "1"),
    "logvar_mean": ("mean logvar", "1"),
    "logvar_within": ("values of logvar in the interval", "1"),
    "deviation_max": ("largest |z - mu|", "1"),
    "deviation_max_image": ("image with the largest |z - mu|", "1"),
    "deviation_above": ("images with |z - mu| above the threshold", "1"),
    "difference": ("kind of difference of the radii of z and mu", ""),
    "difference_max": ("largest difference of the radii of z and mu", "1"),
    "difference_max_image": ("image with the largest difference", "1"),
    "difference_mean": ("mean difference of the radii of z and mu", "1"),
    "kl": ("mean KL divergence from N(0, 1), without the factor", "nat"),
}

STATS = Analysis(
    name="stats",
    version=1,
    parameters=StatsParameters,
    reduction=stats_reduction,
    labels=LABELS,
)


def stats(
    store: LatentStore,
    *,
    upper: float = 35.0,
    width: float = 0.5,
    threshold: float = 0.05,
    interval: tuple[float, float] = (-3.0, 5.0),
    ranges: Sequence[tuple[float, float]] = ((14.0, 19.0), (12.0, 24.0)),
    **options: Unpack[Options],
) -> Dataset:
    """Compute the statistics of a store: logvar, deviation of z from mu, radii, KL.

    Parameters
    ----------
    store
        The latent store.
    upper
        End of the radius histogram, which begins at 0.
    width
        Width of a bin of the radius histogram.
    threshold
        Deviations ``|z - mu|`` above this are counted.
    interval
        Values of logvar from LOW to HIGH are counted, both included.
    ranges
        Fractions of the radii of z from LOW to below HIGH.
    **options
        See `Options`.

    Returns
    -------
    Moments `mean`, `variance`, `skewness`, `kurtosis` (array, component); of the radii `radius_mean`, ...,
    `radius_histogram` (array, bin) with `radius_edge` (edge); `logvar_max`, `logvar_min`, `logvar_mean`
    (component); `deviation_max`, `deviation_above` (component); `difference_max`, `difference_mean` of the
    radii of z and mu (difference); `kl` (component), in nats and without the factor. What needs an array
    that the store lacks is absent.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    given = {"upper": upper, "width": width, "threshold": threshold, "interval": interval, "ranges": ranges}
    return call(STATS, {"store": store}, given, options)


def _result(found: StatsPartial, counts: Counts, *, schema: Schema, settings: Settings) -> Result:
    points = tuple(found.moments)
    variables = _moment_variables(found.moments) | _radius_variables(found.radii, settings)
    attributes: dict[str, Any] = {
        **count_attributes(counts, schema),
        "radius_width": settings.bins.width,
        "deviation_threshold": settings.deviation_threshold,
        "logvar_interval": list(settings.interval),
    }
    if found.logvar is not None:
        variables |= _logvar_variables(found.logvar, counts.good)
    if found.deviation is not None:
        variables |= _deviation_variables(found.deviation)
    if found.difference is not None:
        variables |= _difference_variables(found.difference, counts.good)
    if found.logvar is not None and "mu" in points:
        nats = unscaled_kl(found.moments["mu"], found.logvar)
        variables["kl"] = Variable(("component",), nats)
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

"""The study's table: logvar, deviation of z from mu, radii, KL and moments, in one pass over the store."""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import Analysis, Parameters, count_attributes
from latentscan.analyses.collapse import active
from latentscan.analyses.functions import call
from latentscan.errors import parameter
from latentscan.kernels.adaptive import BINS
from latentscan.kernels.collapse import ClippedNoise, effective_number
from latentscan.kernels.duplicates import MOST
from latentscan.kernels.histogram import Bins, RelativeHistogram, even_edges
from latentscan.kernels.intervals import peak_interval, quantile_interval
from latentscan.kernels.modes import deepest_valleys
from latentscan.kernels.noise_fit import READINGS
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
    from latentscan.kernels.adaptive import AdaptiveHistogram
    from latentscan.kernels.duplicates import Repeats
    from latentscan.kernels.moments import Moments
    from latentscan.kernels.noise_fit import NoiseFit
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

MOST_BINS = 100_000
UPPER, WIDTH = 35.0, 0.5  # of the bins of radii, where only one of them is given
SHARES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)  # of the quantiles of the radii
BEYOND = (
    3.0  # bins of radii reach that far beyond the outermost quantiles, times their distance from the median
)
VARIANCES = (0.01, 0.02, 0.05, 0.1)  # components with a larger variance count as active
KLS = (0.05, 0.1)  # and those with a larger KL, in nats
SHAPE_ROWS = 1 << 15  # rows that the distribution along every component is counted of
NOISE_VALUES = 1 << 18  # values of z compared with mu and logvar one by one: to 0.3 % of a variance
TOGETHER_BYTES = 1 << 20  # of the values of z that are compared at once
LISTED_GROUPS = 20  # of equal rows
Interval = tuple[float, float]


class StatsParameters(Parameters):
    """What `stats` counts, and where."""

    upper: float | None = Field(
        default=None, gt=0, description="end of the radius histogram; by default it follows the radii"
    )
    width: float | None = Field(
        default=None,
        gt=0,
        validate_default=True,
        description="width of a bin of the radius histogram; by default it follows the radii",
    )
    threshold: float = Field(default=0.05, ge=0, le=1e30, description="count |z - mu| above this")
    interval: Interval = Field(
        default=(-3.0, 5.0), description="count logvar from LOW to HIGH, given LOW:HIGH"
    )
    ranges: tuple[Interval, ...] = Field(
        default=(),
        max_length=1000,
        description="fractions of the radii of z from LOW to below HIGH, given LOW:HIGH,LOW:HIGH",
    )

    @field_validator("interval", "ranges")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        for low, high in [value] if value and isinstance(value[0], float) else value:
            if not low < high:
                raise ValueError(f"expected LOW below HIGH, got {low:g}:{high:g}")
        return value

    @field_validator("width")
    @classmethod
    def _some_bins(cls, value: float | None, info: ValidationInfo) -> float | None:
        bins = (info.data.get("upper") or UPPER) / (value or WIDTH)
        if not 1 <= bins <= MOST_BINS:
            raise ValueError(f"expected 1 to {MOST_BINS:,} bins up to {parameter('upper')}, got {bins:,.3g}")
        return value

    @property
    def bins(self) -> Bins | None:
        """The bins of the radii; None where they follow the radii."""
        if self.upper is None and self.width is None:
            return None
        return Bins(self.width or WIDTH, self.upper or UPPER)


def stats_reduction(store: StoreFacts, parameters: StatsParameters) -> Reduction[StatsPartial, Result]:
    """Return the statistics as a reduction: logvar, deviation of z from mu, radii, KL, moments."""
    images, components = store.schema.images, store.schema.components
    settings = Settings(
        deviation_threshold=parameters.threshold,
        interval=parameters.interval,
        bins=parameters.bins,
        ranges=parameters.ranges,
        shape_rate=min(1.0, SHAPE_ROWS / images),
        noise_rate=min(1.0, NOISE_VALUES / (images * components)),
    )
    noise = ClippedNoise.of(store.attributes)
    histograms, values = components * BINS * 8, min(images, MOST) * 24  # bytes
    return Reduction(
        arrays=("mu", "logvar", "z"),
        chunk=partial(stats_partial, settings=settings),
        combine=StatsPartial.merge,
        finalize=partial(_result, schema=store.schema, settings=settings, noise=noise),
        footprint=Footprint(
            tiles=5, partial_bytes=4 * histograms + 2 * values, task_bytes=3 * histograms + TOGETHER_BYTES
        ),
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
    "share": ("share of the radii below a quantile", "1"),
    "radius_quantile": ("quantile of the radii", "1"),
    "radius_quantile_low": ("lower end of the 95 % interval of a quantile", "1"),
    "radius_quantile_high": ("upper end of the 95 % interval of a quantile", "1"),
    "radius_peak_low": ("lower end of the 90 % interval of the peak", "1"),
    "radius_peak_high": ("upper end of the 90 % interval of the peak", "1"),
    "variance_threshold": ("threshold of the variance", "1"),
    "active_by_variance": ("components with a larger variance", "1"),
    "kl_threshold": ("threshold of the KL divergence", "nat"),
    "active_by_kl": ("components with a larger KL divergence", "1"),
    "valley_score": (
        "by how many standard deviations of the counts the deepest valley lies below the lower of its two "
        "peaks (chance reaches about 4; above 5 it is noticed)",
        "1",
    ),
    "valley_position": ("where it is", "1"),
    "valley_share": ("share of the images in the smaller group", "1"),
    "repeat_images": ("images with equal rows, of the largest groups", "1"),
    "repeat_first_image": ("the first of them", "1"),
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
    version=3,
    parameters=StatsParameters,
    reduction=stats_reduction,
    labels=LABELS,
    rows=tuple(name for name in LABELS if name.endswith("_image")),
)


def stats(
    store: LatentStore,
    *,
    upper: float | None = None,
    width: float | None = None,
    threshold: float = 0.05,
    interval: tuple[float, float] = (-3.0, 5.0),
    ranges: Sequence[tuple[float, float]] = (),
    **options: Unpack[Options],
) -> Dataset:
    """Compute the statistics of a store: logvar, deviation of z from mu, radii, KL, repeated rows.

    Parameters
    ----------
    store
        The latent store.
    upper
        End of the radius histogram, which then begins at 0; by default it follows the radii.
    width
        Width of a bin of the radius histogram; by default it follows the radii.
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
    `radius_quantile` (array, share) with the ends of 95 % intervals, `radius_histogram` (array, bin) with
    `radius_edge` (edge); `logvar_max`, `logvar_min`, `logvar_mean` (component); `deviation_max`,
    `deviation_above` (component); `difference_max`, `difference_mean` of the radii of z and mu (difference);
    `kl` (component), in nats and without the factor; `active_by_variance` (variance_threshold) and
    `active_by_kl` (kl_threshold), as `collapse` counts them. What needs an array that the store lacks is
    absent.

    Of the points, the attribute `points`: `valley_score` (component), by how many standard deviations of
    the counts the deepest valley between two groups of values lies below the lower of its two peaks (chance
    reaches about 4), its `valley_position`, and the share of images in the smaller group, `valley_share`,
    from `shape_rows` rows. `repeat_images` and `repeat_first_image` (group) are the largest groups of rows
    that are equal to the bit; the path of each image that is named by its row is in ``<variable>_path``.
    `repeated_rows` of `followed_rows` repeat an earlier one. `noise_mean` and
    `noise_variance`, a mean square with its standard error `noise_variance_error`, are those of
    (z - mu) / exp(logvar / 2) over `noise_values` values, to be compared with 0 and
    `expected_noise_variance`; `noise_readings` are what it would be if logvar were something else.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    given = {"upper": upper, "width": width, "threshold": threshold, "interval": interval, "ranges": ranges}
    return call(STATS, {"store": store}, given, options)


def _result(
    found: StatsPartial, counts: Counts, *, schema: Schema, settings: Settings, noise: ClippedNoise
) -> Result:
    points = "mu" if "mu" in found.moments else "z"
    radii, radius_attributes = _radius_variables(found.radii, settings)
    variance = found.moments[points].variance
    variables = _moment_variables(found.moments) | radii | active("variance", variance, VARIANCES)
    attributes: dict[str, Any] = {
        **count_attributes(counts, schema),
        "points": points,
        **radius_attributes,
        "deviation_threshold": settings.deviation_threshold,
        "logvar_interval": list(settings.interval),
        "shape_rows": int(found.shape.counts[0].sum()),
        "repeated_rows": found.repeats.repeated,
        "followed_rows": found.repeats.rows,
    }
    variables |= _valley_variables(found.shape) | _repeat_variables(found.repeats)
    if found.logvar is not None:
        variables |= _logvar_variables(found.logvar, counts.good)
    if found.deviation is not None:
        variables |= _deviation_variables(found.deviation)
    if found.difference is not None:
        variables |= _difference_variables(found.difference, counts.good)
    if found.logvar is not None and points == "mu":
        nats = unscaled_kl(found.moments["mu"], found.logvar)
        variables |= {"kl": Variable(("component",), nats), **active("kl", nats, KLS)}
        attributes["effective_kl"] = effective_number(nats)
    if found.noise is not None:
        attributes |= _noise_attributes(found.noise, noise)
    return Result(variables, attributes)


def _moment_variables(moments: Mapping[str, Moments]) -> dict[str, Variable]:
    names = ("mean", "variance", "skewness", "kurtosis")
    stacked = {name: np.array([getattr(m, name) for m in moments.values()]) for name in names}
    variables = {name: Variable(("array", "component"), values) for name, values in stacked.items()}
    return variables | {"array": Variable(("array",), np.array(list(moments)))}


def _radius_variables(
    radii: Mapping[str, RadiusPartial], settings: Settings
) -> tuple[dict[str, Variable], dict[str, Any]]:
    parts = radii.values()
    edges = settings.bins.edges if settings.bins is not None else _edges([part.values for part in parts])
    binned = [_binned(part, edges) for part in parts]
    middles = edges[1:] / 2 + edges[:-1] / 2  # the sum might overflow
    shares = np.array(SHARES)
    intervals = np.stack([quantile_interval(part.values, shares) for part in parts])
    peaks = [middles[list(peak_interval(inside))] for _, inside, _ in binned]
    empty = [not inside.any() for _, inside, _ in binned]
    figures: dict[str, list[Any]] = {
        "radius_mean": [part.moments.mean[0] for part in parts],
        "radius_std": [np.sqrt(part.moments.variance[0]) for part in parts],
        "radius_min": [-part.negated_minimum.values[0] for part in parts],
        "radius_min_image": [part.negated_minimum.images[0] for part in parts],
        "radius_max": [part.maximum.values[0] for part in parts],
        "radius_max_image": [part.maximum.images[0] for part in parts],
        "radius_peak": [
            np.nan if none else middles[inside.argmax()]
            for (_, inside, _), none in zip(binned, empty, strict=True)
        ],
        "radius_peak_low": [np.nan if none else peak[0] for peak, none in zip(peaks, empty, strict=True)],
        "radius_peak_high": [np.nan if none else peak[1] for peak, none in zip(peaks, empty, strict=True)],
        "radius_underflow": [below for below, _, _ in binned],
        "radius_overflow": [above for _, _, above in binned],
    }
    variables = {name: Variable(("array",), np.array(values)) for name, values in figures.items()}
    variables |= {
        "radius_histogram": Variable(("array", "bin"), np.stack([inside for _, inside, _ in binned])),
        "radius_edge": Variable(("edge",), edges),
        "share": Variable(("share",), shares),
        "radius_quantile": Variable(
            ("array", "share"), np.stack([part.values.quantile(shares) for part in parts])
        ),
        "radius_quantile_low": Variable(("array", "share"), intervals[:, 0]),
        "radius_quantile_high": Variable(("array", "share"), intervals[:, 1]),
    }
    if settings.ranges:
        within = np.stack([part.within / part.moments.count for part in parts])
        names = np.array([f"[{low:g},{high:g})" for low, high in settings.ranges])
        variables |= {
            "radius_within": Variable(("array", "range"), within),
            "range": Variable(("range",), names),
        }
    return variables, {"radius_width": float(edges[1] - edges[0])}


def _edges(radii: Sequence[RelativeHistogram]) -> NDArray[np.float64]:
    """Choose bins that hold all radii but those so far out that they would hide the shape of the others."""
    both = reduce(RelativeHistogram.merge, radii)
    lowest, low, middle, high, highest = both.quantile(np.array([0.0, 0.01, 0.5, 0.99, 1.0]))
    start = max(lowest, low - BEYOND * (middle - low), 0.0)
    end = min(highest, high + BEYOND * (high - middle))
    # twice as many as by Rice's rule, since a width is a power of two; at most as many as a picture has
    return even_edges(start, end, int(np.clip(4 * np.cbrt(both.count), 40, 250)))


def _binned(part: RadiusPartial, edges: NDArray[np.float64]) -> tuple[int, NDArray[np.int64], int]:
    """Return how many radii are below, in and above the bins."""
    if part.histogram is not None:
        return part.histogram.underflow, part.histogram.counts, part.histogram.overflow
    counts = part.values.counts_in(edges)
    return int(counts[0]), counts[1:-1], int(counts[-1])


def _valley_variables(shape: AdaptiveHistogram) -> dict[str, Variable]:
    found = deepest_valleys(shape)
    return {f"valley_{name}": Variable(("component",), values) for name, values in found._asdict().items()}


def _repeat_variables(found: Repeats) -> dict[str, Variable]:
    sizes, first = found.largest(LISTED_GROUPS)
    return {
        "repeat_images": Variable(("group",), sizes),
        "repeat_first_image": Variable(("group",), first),
    }


def _noise_attributes(found: NoiseFit, noise: ClippedNoise) -> dict[str, Any]:
    readings = dict(zip(READINGS, found.variances.tolist(), strict=True))
    return {
        "noise_values": found.count,
        "noise_mean": as_number(found.mean),
        "noise_variance": as_number(found.variances[0]),
        "noise_variance_error": as_number(found.variance_error),
        "expected_noise_variance": noise.mean_square,
        "noise_readings": {name: as_number(value) for name, value in readings.items()},
    }


def as_number(value: float) -> float | None:
    """Return a number as an attribute, which JSON holds: None for what is not finite."""
    return float(value) if np.isfinite(value) else None


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

"""The study's table: logvar, deviation of z from mu, radii, KL and moments, in one pass over the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from latentscan.engine.tree import reduce_store
from latentscan.errors import StoreError
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
from latentscan.store.results import Result, Variable, load_result, require_place, result_path, save_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.kernels.moments import Moments
    from latentscan.progress import Progress
    from latentscan.store.latent_store import LatentStore

ACTIVE_VARIANCE = 0.01
MOST_BINS = 100_000


Interval = tuple[float, float]


class StatsParameters(BaseModel):
    """What `stats` counts, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    *,
    results: str | None = None,
    force: bool = False,
    allow_partial: bool = False,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Result:
    """Compute the statistics of a store, or read them where they are there already.

    Parameters
    ----------
    results
        Path of another store to keep the result in; the store itself if None.
    force
        Compute anew what is there already.
    allow_partial
        Go ahead where some blocks are not written yet, and leave them out.
    threads
        How many blocks are worked on at once; as many as there are processors if None.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If `results` is a folder of something else.
    """
    parameters = parameters or StatsParameters()
    place = results or store.location
    if results is not None:
        require_place(results)
    path = result_path("stats", parameters.model_dump(mode="json"), store)
    if not force and (found := load_result(place, path)) is not None:
        return found
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
    result = reduce_store(
        store, reduction, label="stats", allow_partial=allow_partial, threads=threads, progress=progress
    )
    save_result(place, path, result)
    return result


def _result(found: StatsPartial, store: LatentStore, settings: Settings) -> Result:
    if not found.images:
        raise StoreError(
            f"{store.location}: all {found.rejected} images were rejected, there is nothing to count; "
            "the command that wrote the store says why each was"
        )
    points = tuple(found.moments)
    variables = _moment_variables(found.moments) | _radius_variables(found.radii, settings)
    attributes: dict[str, Any] = {
        "store": store.location,
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


def stats_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `stats` as the JSON document of `latentscan stats --json`."""
    head = {
        name: result.attributes[name] for name in ("store", "images", "unwritten", "rejected", "components")
    }
    document = {**head, "moments": _moments_json(result), "radius": _radius_json(result)}
    if "logvar_max" in result:
        low, high = result.attributes["logvar_interval"]
        document["logvar"] = {
            "max": float(result["logvar_max"].max()),
            "min": float(result["logvar_min"].min()),
            "mean": float(result["logvar_mean"].mean()),
            "max_at": place(result, "logvar_max"),
            "min_at": place(result, "logvar_min", smallest=True),
            "intervals": {f"[{low:g},{high:g}]": int(result["logvar_within"])},
            "per_component": _lists(result, "logvar_", ("max", "max_image", "min", "min_image", "mean")),
        }
    if "deviation_max" in result:
        document["deviation"] = {
            "max": float(result["deviation_max"].max()),
            "max_at": place(result, "deviation_max"),
            "above": {f"{result.attributes['deviation_threshold']:g}": int(result["deviation_above"].sum())},
            "per_component": _lists(result, "deviation_", ("max", "max_image", "above")),
        }
    if "kl" in result:
        document["kl"] = {
            "mean_unscaled": _finite(result["kl"].sum(keepdims=True))[0],
            "per_component": _finite(result["kl"]),
            "active_components": active_components(result),
        }
    return document


def place(result: Result, name: str, *, smallest: bool = False) -> dict[str, int]:
    """Say where the extreme of a per-component extreme lies."""
    values = result[name]
    component = int(values.argmin() if smallest else values.argmax())
    return {"image": int(result[f"{name}_image"][component]), "component": component}


def active_components(result: Result) -> int:
    """Count the components along which mu varies by more than 0.01 over the images.

    Burda, Y., Grosse, R., Salakhutdinov, R. (2016), Importance weighted autoencoders, section 5.2.
    """
    mu = result["array"].tolist().index("mu")
    return int(np.count_nonzero(result["variance"][mu] > ACTIVE_VARIANCE))


def _lists(result: Result, prefix: str, names: Sequence[str]) -> dict[str, list[float]]:
    return {name: result[prefix + name].tolist() for name in names}


def _moments_json(result: Result) -> dict[str, Any]:
    names = ("mean", "variance", "skewness", "kurtosis")
    return {
        array: {name: _finite(result[name][number]) for name in names}
        for number, array in enumerate(result["array"].tolist())
    }


def _finite(values: NDArray[Any]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _radius_json(result: Result) -> dict[str, Any]:
    arrays = result["array"].tolist()
    first = arrays.index("z") if "z" in arrays else 0
    figures = ("min", "max", "mean", "std", "peak")
    document: dict[str, Any] = {
        array: {
            **{name: _finite(result[f"radius_{name}"][[number]])[0] for name in figures},
            "min_at": {"image": int(result["radius_min_image"][number])},
            "max_at": {"image": int(result["radius_max_image"][number])},
        }
        for number, array in enumerate(arrays)
    }
    if "difference" in result:
        document["difference"] = {
            f"{statistic}_{kind}": float(result[f"difference_{statistic}"][number])
            for statistic in ("max", "mean")
            for number, kind in enumerate(("absolute", "relative"))
        }
    document["within"] = dict(
        zip(result["range"].tolist(), result["radius_within"][first].tolist(), strict=True)
    )
    histogram: dict[str, Any] = {
        "width": result.attributes["radius_width"],
        "edges": result["radius_edge"].tolist(),
    }
    for number, array in enumerate(arrays):
        prefix = "" if number == first else f"{array}_"
        histogram[array] = result["radius_histogram"][number].tolist()
        histogram[f"{prefix}underflow"] = int(result["radius_underflow"][number])
        histogram[f"{prefix}overflow"] = int(result["radius_overflow"][number])
    document["histogram"] = histogram
    return document

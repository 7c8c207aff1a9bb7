"""The JSON document of `latentscan stats --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.store.results import Result

ACTIVE_VARIANCE = 0.01


def stats_json(result: Result) -> dict[str, Any]:
    """Arrange a result of `stats` as the JSON document of `latentscan stats --json`."""
    head = {name: result.attributes[name] for name in ("images", "unwritten", "rejected", "components")}
    document = {**head, "moments": _moments_json(result), "radius": _radius_json(result)}
    if "logvar_max" in result:
        low, high = result.attributes["logvar_interval"]
        document["logvar"] = {
            "max": float(result["logvar_max"].max()),
            "min": float(result["logvar_min"].min()),
            "mean": float(result["logvar_mean"].mean()),
            "max_at": _place(result, "logvar_max", int(result["logvar_max"].argmax())),
            "min_at": _place(result, "logvar_min", int(result["logvar_min"].argmin())),
            "intervals": {f"[{low:g},{high:g}]": int(result["logvar_within"])},
            "per_component": _lists(result, "logvar_", ("max", "max_image", "min", "min_image", "mean")),
        }
    if "deviation_max" in result:
        document["deviation"] = {
            "max": _finite(result["deviation_max"].max(keepdims=True))[0],
            "max_at": _place(result, "deviation_max", int(result["deviation_max"].argmax())),
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


def _place(result: Result, name: str, component: int) -> dict[str, int]:
    return {"image": int(result[f"{name}_image"][component]), "component": component}


def active_components(result: Result) -> int:
    """Count the components along which mu varies by more than 0.01 over the images.

    Burda, Y., Grosse, R., Salakhutdinov, R. (2016), Importance weighted autoencoders, section 5.2.
    """
    mu = result["array"].tolist().index("mu")
    return int(np.count_nonzero(result["variance"][mu] > ACTIVE_VARIANCE))


def _lists(result: Result, prefix: str, names: Sequence[str]) -> dict[str, list[float | None]]:
    return {name: _finite(result[prefix + name]) for name in names}


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

"""Which components hold anything: signal against noise, by component, and how many count by any threshold."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from latentscan.analyses.analysis import Analysis, Parameters, count_attributes
from latentscan.analyses.functions import call
from latentscan.kernels.collapse import (
    ClippedNoise,
    CollapsePartial,
    collapse_partial,
    count_above,
    effective_number,
    participation_ratio,
)
from latentscan.kernels.reduction import Footprint, Reduction
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.kernels.collapse import Deviations
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]

COMPONENT = ("component",)


class CollapseParameters(Parameters):
    """By which thresholds components count as active, and deviations as large."""

    variances: tuple[float, ...] = Field(
        default=(0.001, 0.01, 0.1, 0.5),
        max_length=1000,
        description="count the components along which mu (z of an AE) has a larger variance",
    )
    kls: tuple[float, ...] = Field(
        default=(0.001, 0.01, 0.1, 0.5, 1.0),
        max_length=1000,
        description="count the components with a larger KL, nat",
    )
    threshold: float = Field(default=0.05, gt=0, le=1e30, description="count |z - mu| above this")

    @field_validator("variances", "kls")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) < 0:
            raise ValueError("expected one threshold or more, none below 0")
        return tuple(sorted(set(value)))


def collapse_reduction(
    store: StoreFacts, parameters: CollapseParameters
) -> Reduction[CollapsePartial, Result]:
    """Return signal and noise of every component as a reduction, with what the closed forms say of both."""
    noise, schema = ClippedNoise.of(store.attributes), store.schema
    return Reduction(
        arrays=("mu", "logvar", "z"),
        chunk=partial(collapse_partial, noise=noise, threshold=parameters.threshold),
        combine=CollapsePartial.merge,
        finalize=partial(_result, schema=schema, parameters=parameters, noise=noise),
        footprint=Footprint(tiles=6, partial_bytes=schema.components**2 * 8),
    )


LABELS = {  # what each variable is, and its unit
    "variance": ("variance of mu over the images, of z where there is no mu", "1"),
    "variance_threshold": ("threshold of the variance", "1"),
    "active_by_variance": ("components with a larger variance", "1"),
    "kl": ("mean KL divergence from N(0, 1), without the factor", "nat"),
    "kl_threshold": ("threshold of the KL divergence", "nat"),
    "active_by_kl": ("components with a larger KL divergence", "1"),
    "noise_variance": ("mean of exp(logvar)", "1"),
    "signal_share": ("variance of mu as a share of that and the noise", "1"),
    "deviation": ("mean |z - mu|, measured", "1"),
    "expected_deviation": ("mean |z - mu|, expected", "1"),
    "deviation_above": ("images with |z - mu| above the threshold, measured", "1"),
    "expected_deviation_above": ("images with |z - mu| above the threshold, expected", "1"),
}

COLLAPSE = Analysis(
    name="collapse",
    version=2,
    parameters=CollapseParameters,
    reduction=collapse_reduction,
    labels=LABELS,
)


def collapse(
    store: LatentStore,
    *,
    variances: Sequence[float] = (0.001, 0.01, 0.1, 0.5),
    kls: Sequence[float] = (0.001, 0.01, 0.1, 0.5, 1.0),
    threshold: float = 0.05,
    **options: Unpack[Options],
) -> Dataset:
    """Measure which components hold anything: variance of mu, KL, noise, and how many count as active.

    Parameters
    ----------
    store
        The latent store.
    variances
        Components along which mu (z of an AE) has a larger variance than each of these are counted.
    kls
        Components whose KL divergence, averaged over the images, is larger than each of these, in nats.
    threshold
        Deviations ``|z - mu|`` above this are counted, and their expected number beside it.
    **options
        See `Options`.

    Returns
    -------
    By component, `variance` of mu (of z where there is no mu), `kl` in nats, `noise_variance`, the mean of
    exp(logvar), and `signal_share`, variance / (variance + noise_variance) (component);
    `active_by_variance` with `variance_threshold` (variance_threshold), `active_by_kl` with `kl_threshold`
    (kl_threshold). The attribute `effective_kl` is the number of components that share the KL equally,
    `effective_dimension` the participation ratio of the covariance: a cloud on a line has 1. Measured, and
    expected from logvar and the noise: `deviation` and `expected_deviation`, the mean ``|z - mu|``, and
    `deviation_above` and `expected_deviation_above` (component); the attributes `radius_difference` and
    `expected_radius_difference`, the mean absolute difference of the radii of z and mu. What needs an array
    that the store lacks is absent, and named in the attribute `missing`.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    given = {"variances": variances, "kls": kls, "threshold": threshold}
    return call(COLLAPSE, {"store": store}, given, options)


def _result(
    found: CollapsePartial,
    counts: Counts,
    *,
    schema: Schema,
    parameters: CollapseParameters,
    noise: ClippedNoise,
) -> Result:
    points = "mu" if "mu" in schema.latents else "z"
    covariance = found.points.matrix
    variance = covariance.diagonal().copy()
    variables = {
        "variance": Variable(COMPONENT, variance),
        **active("variance", variance, parameters.variances),
    }
    attributes: dict[str, Any] = {
        **count_attributes(counts, schema),
        "points": points,
        "effective_dimension": participation_ratio(covariance),
        "missing": _missing(schema),
    }
    if found.noise_variance is not None:
        noise_variance = found.noise_variance / counts.good
        total = variance + noise_variance
        shares = np.divide(variance, total, out=np.zeros_like(total), where=total > 0)
        variables["noise_variance"] = Variable(COMPONENT, noise_variance)
        variables["signal_share"] = Variable(COMPONENT, shares)
    if found.kl is not None:
        kl = found.kl / counts.good
        variables |= {"kl": Variable(COMPONENT, kl), **active("kl", kl, parameters.kls)}
        attributes |= {"kl_total": float(kl.sum()), "effective_kl": effective_number(kl)}
    if found.deviations is not None:
        variables |= _deviation_variables(found.deviations, counts.good, noise)
        attributes |= {
            "deviation_threshold": parameters.threshold,
            "epsilon_limit": noise.limit if math.isfinite(noise.limit) else None,
            "epsilon_factor": noise.factor,
            "radius_difference": found.deviations.radius / counts.good,
            "expected_radius_difference": found.deviations.expected_radius / counts.good,
        }
    return Result(variables, attributes)


def active(name: str, values: Floats, thresholds: tuple[float, ...]) -> dict[str, Variable]:
    """Count the components whose value (component,) is above each threshold."""
    dims = (f"{name}_threshold",)
    return {
        dims[0]: Variable(dims, np.array(thresholds)),
        f"active_by_{name}": Variable(dims, count_above(values, thresholds)),
    }


def _deviation_variables(part: Deviations, images: int, noise: ClippedNoise) -> dict[str, Variable]:
    values: dict[str, NDArray[Any]] = {
        "deviation": part.absolute / images,
        "expected_deviation": noise.mean_absolute * part.scale / images,
        "deviation_above": part.above,
        "expected_deviation_above": part.expected_above,
    }
    return {name: Variable(COMPONENT, array) for name, array in values.items()}


def _missing(schema: Schema) -> list[str]:
    """Name what cannot be said without an array that the store lacks."""
    held = set(schema.latents)
    needs = {
        "noise and signal share": {"logvar"},
        "KL": {"mu", "logvar"},
        "deviations of z from mu": {"mu", "logvar", "z"},
    }
    lacking = {what: sorted(arrays - held) for what, arrays in needs.items()}
    return [f"{what} (no {' and '.join(arrays)})" for what, arrays in lacking.items() if arrays]

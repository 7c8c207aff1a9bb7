"""The distribution along every coordinate axis, and which components are far from Gaussian."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from latentscan.analyses.analysis import Analysis, Parameters, count_attributes
from latentscan.analyses.functions import call
from latentscan.kernels.adaptive import BINS
from latentscan.kernels.normality import AxesPartial, axes_partial, normal_distances, sampling_floor
from latentscan.kernels.reduction import Footprint, Reduction
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from typing import Unpack

    from xarray import Dataset

    from latentscan.analyses.functions import Options
    from latentscan.kernels.reduction import Counts
    from latentscan.scan.snapshot import StoreFacts
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

FLOORS = 2.5  # of a thousand Gaussian components none is that many times the sampling floor away
COARSE = 0.5  # bins of so many standard deviations no longer show the shape


class AxesParameters(Parameters):
    """What `axes` calls far from Gaussian."""

    far: float = Field(
        default=0.1,
        gt=0,
        description="far from Gaussian: a Wasserstein-1 distance of so many standard deviations "
        "(uniform 0.15, two peaks 4 widths apart 0.2); of few images more, see the sampling floor",
    )


def axes_reduction(store: StoreFacts, parameters: AxesParameters) -> Reduction[AxesPartial, Result]:
    """Return the distribution along every component as a reduction."""
    histograms = 2 * store.schema.components * BINS * 8  # bytes
    return Reduction(
        arrays=("z", "mu"),
        chunk=axes_partial,
        combine=AxesPartial.merge,
        finalize=partial(_result, schema=store.schema, parameters=parameters),
        footprint=Footprint(copies=2.2, partial_bytes=histograms, task_bytes=4 * histograms),
    )


LABELS = {  # what each variable is, and its unit
    "array": ("latent array", ""),
    "mean": ("mean over the images", "1"),
    "variance": ("variance over the images", "1"),
    "skewness": ("skewness over the images", "1"),
    "kurtosis": ("excess kurtosis over the images", "1"),
    "lowest": ("smallest value", "1"),
    "highest": ("largest value", "1"),
    "bin_start": ("lower edge of the first bin", "1"),
    "bin_width": ("width of a bin", "1"),
    "histogram": ("images by value", "1"),
    "distance": ("Wasserstein-1 distance from the Gaussian of the same moments", "standard deviations"),
    "far": ("whether it is far from Gaussian", "1"),
    "coarse": ("whether bins are too wide to show the shape", "1"),
}

AXES = Analysis(
    name="axes",
    version=1,
    parameters=AxesParameters,
    reduction=axes_reduction,
    labels=LABELS,
)


def axes(store: LatentStore, *, far: float = 0.1, **options: Unpack[Options]) -> Dataset:
    """Count the values along every component of z and mu: histograms, moments, distance from a Gaussian.

    Parameters
    ----------
    store
        The latent store.
    far
        A component is far from Gaussian from this Wasserstein-1 distance on, in standard deviations.
    **options
        See `Options`.

    Returns
    -------
    Variables with the dims (array, component), `histogram` (array, component, bin) besides; bin b of a
    component holds the values from ``bin_start + b * bin_width`` to below the next. `distance` is the
    Wasserstein-1 distance from the Gaussian of the same mean and variance, in standard deviations, NaN where
    all values are equal. `far` holds where it is at least the attribute `far_distance`: the parameter `far`,
    or, where images are few, `FLOORS` times the attribute `sampling_floor`, which is what so small a sample
    of a Gaussian has on average. `coarse` holds where bins are wider than `COARSE` standard deviations,
    because of values far out or a mean far off; there the distance is rough, and the kurtosis says more.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    return call(AXES, {"store": store}, {"far": far}, options)


def _result(found: AxesPartial, counts: Counts, *, schema: Schema, parameters: AxesParameters) -> Result:
    histograms, moments = found.histograms.values(), found.moments.values()
    values: dict[str, Any] = {
        name: np.stack([getattr(part, name) for part in moments])
        for name in ("mean", "variance", "skewness", "kurtosis")
    }
    distance = np.stack([normal_distances(*parts) for parts in zip(histograms, moments, strict=True)])
    floor = sampling_floor(counts.good)
    threshold = max(parameters.far, FLOORS * floor)
    width = np.stack([np.ldexp(1.0, part.exponents) for part in histograms])
    varies = ~np.isnan(distance)
    values |= {
        "lowest": np.stack([part.lowest for part in histograms]),
        "highest": np.stack([part.highest for part in histograms]),
        "bin_start": np.stack([part.edges[:, 0] for part in histograms]),
        "bin_width": width,
        "far": varies & (distance >= threshold),
        "coarse": varies & (width > COARSE * np.sqrt(values["variance"])),
    }
    variables = {name: Variable(("array", "component"), array) for name, array in values.items()}
    histogram = np.stack([part.counts for part in histograms]).astype(np.int64)
    attributes: dict[str, Any] = {
        **count_attributes(counts, schema),
        "far_distance": threshold,
        "sampling_floor": floor,
    }
    return Result(
        {
            "array": Variable(("array",), np.array(list(found.histograms))),
            **variables,
            "distance": Variable(("array", "component"), distance, {"units": "standard deviations"}),
            "histogram": Variable(("array", "component", "bin"), histogram),
        },
        attributes,
    )

"""The distribution along every coordinate axis, and which components are far from Gaussian."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.rows import all_rejected
from latentscan.kernels.normality import AxesPartial, axes_partial, normal_distances, sampling_floor
from latentscan.kernels.reduction import Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

VERSION = 1
FLOORS = 2.5  # of a thousand Gaussian components none is that many times the sampling floor away
COARSE = 0.5  # bins of so many standard deviations no longer show the shape


class AxesParameters(BaseModel):
    """What `axes` calls far from Gaussian."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    far: float = Field(
        default=0.1,
        gt=0,
        description="far from Gaussian: an earth mover's distance of so many standard deviations "
        "(uniform 0.15, two peaks 4 widths apart 0.2); of few images more, see the sampling floor",
    )


def axes(store: LatentStore, parameters: AxesParameters | None = None, run: Run | None = None) -> Result:
    """Count the values along every component of z and mu: histograms, moments, distance from a Gaussian.

    The result's variables have the dims (array, component), `histogram` (array, component, bin) besides;
    bin b of a component holds the values from ``bin_start + b * bin_width`` to below the next. `distance`
    is the earth mover's distance from the Gaussian of the same mean and variance, in standard deviations,
    NaN where all values are equal. `far` holds where it is at least the attribute `far_distance`: the
    parameter `far`, or, where images are few, `FLOORS` times the attribute `sampling_floor`, which is what
    so small a sample of a Gaussian has on average.
    `coarse` holds where bins are wider than `COARSE` standard deviations, because of values far out or a
    mean far off; there the distance is rough, and the kurtosis says more.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    UsageError
        If the result cannot be kept where it should be.
    """
    parameters, run = parameters or AxesParameters(), run or Run()

    def compute(digests: NDArray[np.uint8]) -> Result:
        reduction: Reduction[AxesPartial, Result] = Reduction(
            arrays=("z", "mu"),
            chunk=axes_partial,
            combine=AxesPartial.merge,
            finalize=partial(_result, store=store, parameters=parameters),
        )
        return reduce_store(
            store, reduction, digests, label="axes", executor=run.executor, progress=run.progress
        )

    return kept("axes", VERSION, store, parameters, run, compute)


def _result(found: AxesPartial, store: LatentStore, parameters: AxesParameters) -> Result:
    if not found.images:
        raise all_rejected(store, found.rejected)
    histograms, moments = found.histograms.values(), found.moments.values()
    values: dict[str, Any] = {
        name: np.stack([getattr(part, name) for part in moments])
        for name in ("mean", "variance", "skewness", "kurtosis")
    }
    distance = np.stack([normal_distances(*parts) for parts in zip(histograms, moments, strict=True)])
    floor = sampling_floor(found.images)
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
    counts = np.stack([part.counts for part in histograms]).astype(np.int64)
    attributes: dict[str, Any] = {
        "images": found.images + found.rejected,
        "unwritten": store.schema.images - found.images - found.rejected,
        "rejected": found.rejected,
        "components": store.schema.components,
        "far_distance": threshold,
        "sampling_floor": floor,
    }
    return Result(
        {
            "array": Variable(("array",), np.array(list(found.histograms))),
            **variables,
            "distance": Variable(("array", "component"), distance, {"units": "standard deviations"}),
            "histogram": Variable(("array", "component", "bin"), counts),
        },
        attributes,
    )

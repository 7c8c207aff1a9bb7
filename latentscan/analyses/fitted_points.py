"""Random z-points from a Gaussian with the mean and the covariance of a store's z."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from latentscan.analyses.pca import PcaParameters, pca_reduction
from latentscan.execution.context import Execution
from latentscan.models.points import gaussian_points
from latentscan.scan.reduce import reduce_store
from latentscan.scan.snapshot import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

CovarianceChoice = Literal["full", "diagonal"]


def fitted_points(
    store: LatentStore,
    count: int,
    seed: int,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
    *,
    covariance: CovarianceChoice = "full",
) -> NDArray[np.float32]:
    """Return random points (count, components) of a Gaussian with the mean and the covariance of a store's z.

    Parameters
    ----------
    store
        The store whose z is read.
    count
        How many points.
    seed
        Their seed.
    execution
        Where tasks run, and who follows them.
    covariance
        ``"full"``, or ``"diagonal"``: the variances of the components alone, as if they were independent.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    """
    snapshot = Snapshot.of(store)
    reduction = pca_reduction(snapshot.facts, PcaParameters(array="z"))
    found = reduce_store(snapshot, reduction, execution, label="covariance")
    mean, variances, axes = found["mean"], found["eigenvalue"], found["axes"]
    if covariance == "diagonal":
        return gaussian_points(count, mean, np.sqrt(variances @ axes**2), seed)
    return gaussian_points(count, mean, np.sqrt(variances), seed, axes)

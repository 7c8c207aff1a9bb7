"""Random z-points from a Gaussian with the moments of a store's z."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.stats import StatsParameters, stats_reduction
from latentscan.execution.context import Execution
from latentscan.models.points import gaussian_points
from latentscan.scan.reduce import reduce_store
from latentscan.scan.snapshot import Snapshot, StoreFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore


def fitted_points(
    store: LatentStore,
    count: int,
    seed: int,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> NDArray[np.float32]:
    """Return random points (count, components) of a Gaussian with the means and variances of z's components.

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

    Raises
    ------
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    """
    reduction = stats_reduction(StoreFacts(store.schema), StatsParameters())
    found = reduce_store(Snapshot.of(store), reduction, execution, label="stats")
    z = found["array"].tolist().index("z")
    return gaussian_points(count, found["mean"][z], np.sqrt(found["variance"][z]), seed)

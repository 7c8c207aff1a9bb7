"""z-points -> decoder -> images: what a decoder makes of points that no image was encoded to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.stats import StatsParameters, compute_stats
from latentscan.execution.threaded import IN_PROCESS
from latentscan.models.points import gaussian_points
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore


def fitted_points(
    store: LatentStore,
    count: int,
    seed: int,
    *,
    executor: Executor = IN_PROCESS,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Draw (count, components) from a Gaussian with the mean and variance of each component of z.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    """
    digests = store.readable_digests(allow_partial=False)
    result = compute_stats(store, digests, StatsParameters(), executor=executor, progress=progress)
    z = result["array"].tolist().index("z")
    return gaussian_points(count, result["mean"][z], np.sqrt(result["variance"][z]), seed)

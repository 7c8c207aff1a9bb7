"""Which cluster each of some rows belongs to, by the centres of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.frame import Frame
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.store.results import Result

USUAL = 10  # clusters, where nothing says how many there are


def chosen_k(result: Result) -> int:
    """Return the number of clusters to look at: the natural one, or what is nearest to ten."""
    if result.attributes.get("gap_verdict") == "about":
        return int(result.attributes["gap_best"])
    ks: NDArray[np.int64] = result["k"]
    return int(ks[np.abs(ks - USUAL).argmin()])


def centres_of(result: Result, k: int) -> NDArray[np.intp]:
    """Return which centres are those of the model of `k` clusters with the lowest inertia, (k,)."""
    at = int(np.flatnonzero(result["k"] == k)[0])
    seed = result["seed"][result["inertia"][at].argmin()]
    return np.flatnonzero((result["centre_k"] == k) & (result["centre_seed"] == seed))


def labels_of(result: Result, rows: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Return the cluster of each row, (n,), by the model of `k` clusters with the lowest inertia.

    Parameters
    ----------
    result
        Of `kmeans`.
    rows
        Latents of the same array, (n, components).
    k
        One of its numbers of clusters.
    """
    return assignments(result["centres"][centres_of(result, k)], [k], rows).labels[:, 0]


def assignments(
    centres: NDArray[np.float32], counts: Sequence[int], rows: NDArray[np.float32]
) -> InertiaPartial:
    """Return the cluster of each row, and the inertia, by several models.

    Parameters
    ----------
    centres
        Of one model after another, (centre, component).
    counts
        The number of centres of each model.
    rows
        (n, components).
    """
    if not len(rows):
        none = np.zeros(len(counts))
        members = np.full(len(centres), -1)
        total, labels = np.zeros(rows.shape[1] + 1), np.zeros((0, len(counts)), np.int32)
        sizes = np.zeros(len(centres), np.int64)
        return InertiaPartial(0, total, none, sizes, members, sizes[:0], labels)
    middle = centres.mean(axis=0).astype(np.float32)
    apart = np.abs(rows - middle)
    frame = Frame.around(middle, float(np.median(apart)), float(apart.max(initial=0)))
    models = Models.of(centres, counts, frame)
    return inertia_partial(rows, np.arange(len(rows)), models, range(len(counts)))

"""The passes over a store: which images are fitted on, what they share with attributes, and the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.kmeans.assign import assignments
from latentscan.analyses.labels.known import Known, arrays_of, matrix_of
from latentscan.kernels.contingency import counts_of
from latentscan.kernels.covariance import ROWS, Covariance, covariance
from latentscan.kernels.directions import Directions, SharedMoments, shared_moments
from latentscan.kernels.reduction import Counts, LatentBlock, Reduction
from latentscan.kernels.sampling import is_sampled
from latentscan.kernels.tiles import tiles
from latentscan.scan.reduce import reduce_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

TRAIN, OTHERS = 0, (1, 2)  # of the array `split`
HALF = 0.5


@dataclass(frozen=True)
class Parts:
    """Which images directions are fitted on, and which are held out.

    Parameters
    ----------
    by_split
        Whether the store says so: those of the training are fitted on, those of validation and test held out.
        Else it is a random half.
    rate
        The share of the images held out whose scores are looked at.
    seed
        Of the half, and of that share.
    """

    by_split: bool
    rate: float
    seed: int

    def fitted(self, block: LatentBlock) -> Mask:
        """Return which good images of a block directions are fitted on, (n,)."""
        if self.by_split:
            return np.asarray(block.latents["split"] == TRAIN)
        return is_sampled(block.images, HALF, self.seed)

    def looked_at(self, block: LatentBlock) -> Mask:
        """Return which good images of a block are held out, and looked at, (n,)."""
        held = np.isin(block.latents["split"], OTHERS) if self.by_split else ~self.fitted(block)
        return np.asarray(held & is_sampled(block.images, self.rate, self.seed + 1))


@dataclass(frozen=True)
class _Sizes:
    train: int
    others: int

    def merge(self, other: _Sizes) -> _Sizes:
        return _Sizes(self.train + other.train, self.others + other.others)


def parts_of(snapshot: Snapshot, most: int, seed: int, execution: Execution) -> Parts:
    """Return the parts of a store, of which about `most` images held out are looked at."""
    if snapshot.schema.split:

        def chunk(block: LatentBlock) -> _Sizes:
            split = block.latents["split"]
            return _Sizes(int((split == TRAIN).sum()), int(np.isin(split, OTHERS).sum()))

        reduction: Reduction[_Sizes, _Sizes] = Reduction(("split",), chunk, _Sizes.merge)
        sizes = reduce_store(snapshot, reduction, execution, label="partition")
        if sizes.train and sizes.others:
            return Parts(by_split=True, rate=most / sizes.others, seed=seed)
    return Parts(by_split=False, rate=most / (HALF * snapshot.schema.images), seed=seed)


@dataclass(frozen=True)
class Fitting:
    """What the images that are fitted on have in common with their attributes."""

    points: Covariance
    shared: SharedMoments

    def merge(self, other: Fitting) -> Fitting:
        """Return that of both sets of images."""
        return Fitting(self.points.merge(other.points), self.shared.merge(other.shared))


def fit(
    snapshot: Snapshot, array: Points, known: tuple[Known, ...], parts: Parts, execution: Execution
) -> Fitting:
    """Compute the covariance of the points, and of the points with the attributes."""

    def chunk(block: LatentBlock) -> Fitting:
        chosen = parts.fitted(block)
        x = block.latents[array][chosen]
        values = matrix_of(known, block.latents, len(chosen))[chosen]
        return Fitting(covariance(x), shared_moments(x, values))

    reduction: Reduction[Fitting, Fitting] = Reduction(_read(snapshot, array), chunk, Fitting.merge)
    return reduce_store(snapshot, reduction, execution, label="directions")


@dataclass(frozen=True)
class Scores:
    """The scores of the images held out, and how clusters and attributes meet in all images.

    Parameters
    ----------
    scores
        Along the direction of each attribute, a list of (n, attribute).
    best
        Of the component that was chosen for each, a list of (n, attribute).
    values
        The attributes, NaN where one is not known, a list of (n, attribute).
    counts
        Images in each cluster of each model without and with each binary attribute, (model, binary
        attribute, cluster, 2).
    inertia
        Of each model of the clusters, (model,).
    """

    scores: list[Floats]
    best: list[NDArray[np.float32]]
    values: list[Floats]
    counts: NDArray[np.int64]
    inertia: Floats

    def merge(self, other: Scores) -> Scores:
        """Return that of both ranges of images, `other` being the later one."""
        return Scores(
            [*self.scores, *other.scores],
            [*self.best, *other.best],
            [*self.values, *other.values],
            self.counts + other.counts,
            self.inertia + other.inertia,
        )


def score(
    snapshot: Snapshot,
    array: Points,
    known: tuple[Known, ...],
    parts: Parts,
    mean: Floats,
    found: Directions,
    centres: NDArray[np.float32],
    execution: Execution,
) -> tuple[Scores, Counts]:
    """Project the images held out on the directions, and count attributes in the clusters of all images.

    Parameters
    ----------
    snapshot, array, known, parts, execution
        As those of `fit`.
    mean
        Of the points, from which scores count.
    found
        The directions.
    centres
        Of the clusters of some models, (model, cluster, component).
    """
    binary = [at for at, one in enumerate(known) if one.measure == "binary"]

    def chunk(block: LatentBlock) -> Scores:
        x = block.latents[array]
        values = matrix_of(known, block.latents, len(x))
        chosen = parts.looked_at(block)
        some = x[chosen]
        scores = np.empty((len(some), len(known)))
        for tile in tiles(len(some), ROWS):
            scores[tile] = (some[tile] - mean) @ found.vectors.T
        best = some[:, found.component] * found.sign.astype(np.float32)
        models, clusters = centres.shape[:2]
        counts, inertia = np.zeros((models, len(binary), clusters, 2), np.int64), np.zeros(models)
        if models:
            near = assignments(centres.reshape(models * clusters, -1), [clusters] * models, x)
            inertia = near.inertia
            for number, at in enumerate(binary):
                classes = np.where(np.isnan(values[:, at]), -1, values[:, at]).astype(np.int64)
                for model, labels in enumerate(near.labels.T):
                    counts[model, number] = counts_of(labels, classes, (clusters, 2))
        return Scores([scores], [best], [values[chosen]], counts, inertia)

    reduction: Reduction[Scores, tuple[Scores, Counts]] = Reduction(
        _read(snapshot, array), chunk, Scores.merge, lambda partial, counts: (partial, counts)
    )
    return reduce_store(snapshot, reduction, execution, label="scores")


def _read(snapshot: Snapshot, array: Points) -> tuple[str, ...]:
    return (array, *(("split",) if snapshot.schema.split else ()), *arrays_of(snapshot.schema))

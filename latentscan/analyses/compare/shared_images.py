"""Rows of several stores side by side: which stores hold the same images, and what their rows share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from latentscan.kernels.alignment import cka_without_each, jackknife_error_of_squares
from latentscan.kernels.covariance import Covariance, covariance
from latentscan.kernels.moments import Moments, moments
from latentscan.kernels.sampling import Sample, sample
from latentscan.scan.reduce import map_reduce
from latentscan.scan.rows import read_good, read_range
from latentscan.store.schema import DEFAULT_CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot

P = TypeVar("P")
JACKKNIFE_ROWS = 1024  # whose deviations, in float64, are held at once


@dataclass(frozen=True)
class Member:
    """A store among those compared, its name, and the array of its points."""

    name: str
    snapshot: Snapshot
    array: Points

    @property
    def without_paths(self) -> bool:
        """Whether its latents were made elsewhere, so that rows are known by their number alone."""
        source = self.snapshot.store.attributes.get("source", {})
        return bool(source.get("kind") == "latents" and "images" not in source)


@dataclass(frozen=True)
class Shared:
    """What stores of the same images share, over the images that are good in all of them.

    Parameters
    ----------
    covariance
        Of their components side by side.
    images
        A sample of the images, (n,), in the order of `scan.rows.sample_images`.
    """

    covariance: Covariance
    images: NDArray[np.int64]


def same_images(
    members: Sequence[Member], execution: Execution
) -> tuple[list[list[int]], dict[tuple[int, int], str]]:
    """Group stores that hold the same images in the same rows.

    Parameters
    ----------
    members
        The stores.
    execution
        Where tasks run.

    Returns
    -------
    The groups, each of positions in `members`, and for every pair of groups, named by the first store of
    each, in what they differ.
    """
    groups: list[list[int]] = []
    differences = {}
    for position, member in enumerate(members):
        for group in groups:
            found = _difference(members[group[0]], member, execution)
            if found is None:
                group.append(position)
                break
            differences[group[0], position] = found
        else:
            groups.append([position])
    return groups, differences


def shared_rows(members: Sequence[Member], size: int, seed: int, execution: Execution) -> Shared:
    """Compute what stores of the same images share, in one pass over all of them.

    Parameters
    ----------
    members
        The stores.
    size, seed
        How many of the shared images are sampled, and the seed.
    execution
        Where tasks run.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """

    def leaf(rows: range) -> tuple[Covariance, Sample]:
        side_by_side, images = _good_side_by_side(members, rows)
        return covariance(side_by_side), sample(images, size, seed)

    def combine(a: tuple[Covariance, Sample], b: tuple[Covariance, Sample]) -> tuple[Covariance, Sample]:
        return a[0].merge(b[0]), a[1].merge(b[1])

    found, sampled = _over_ranges(members, leaf, combine, "rows side by side", execution)
    return Shared(found, sampled.images)


def shared_sample(members: Sequence[Member], size: int, seed: int, execution: Execution) -> Sample:
    """Sample images that are good in all stores, without reading their latents.

    Parameters
    ----------
    members
        The stores, of the same images.
    size, seed
        How many of the shared images are sampled, and the seed.
    execution
        Where tasks run.

    Raises
    ------
    StoreError
        If a chunk is missing or damaged.
    """

    def leaf(rows: range) -> Sample:
        good = np.logical_and.reduce([read_good(member.snapshot, rows) for member in members])
        return sample(rows.start + np.flatnonzero(good), size, seed)

    return _over_ranges(members, leaf, Sample.merge, "shared images", execution)


def cka_errors(
    members: Sequence[Member], joint: Covariance, columns: Sequence[slice], execution: Execution
) -> list[float]:
    """Return the jackknife's standard error of linear CKA of every two stores, from one pass over all rows.

    Parameters
    ----------
    members
        The stores.
    joint
        The covariance of their components side by side, from `shared_rows`.
    columns
        The components of each store.
    execution
        Where tasks run.
    """
    pairs = list(combinations(columns, 2))

    def leaf(rows: range) -> Moments:
        good = _good_side_by_side(members, rows)[0]
        found = Moments.empty(len(pairs))
        for start in range(0, len(good), JACKKNIFE_ROWS):
            deviations = good[start : start + JACKKNIFE_ROWS] - joint.mean
            without = [cka_without_each(joint, a, b, deviations) for a, b in pairs]
            found = found.merge(moments(np.stack(without, axis=1)))
        return found

    if joint.count < 3:
        return [float("nan")] * len(pairs)
    found = _over_ranges(members, leaf, Moments.merge, "standard error of CKA", execution)
    return [jackknife_error_of_squares(found.count, squares) for squares in found.m2.tolist()]


def _good_side_by_side(
    members: Sequence[Member], rows: range
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the rows of a range that are good in all stores, side by side, and the numbers of their images."""
    read = [read_range(member.snapshot, member.array, rows) for member in members]
    good = np.logical_and.reduce([good for _, good in read])
    return np.hstack([values[good] for values, _ in read]), rows.start + np.flatnonzero(good)


def _difference(first: Member, second: Member, execution: Execution) -> str | None:
    """Return in what the images of two stores differ; None where they are the same.

    Latents that were made elsewhere come without paths: their images are taken to be in the same order.
    """
    counts = [member.snapshot.schema.images for member in (first, second)]
    if counts[0] != counts[1]:
        return f"{first.name} holds {counts[0]:,} images, {second.name} {counts[1]:,}"
    if first.without_paths or second.without_paths:
        return None

    def leaf(rows: range) -> str | None:
        (ours, good), (theirs, also_good) = (
            read_range(member.snapshot, "path", rows) for member in (first, second)
        )
        differing = np.flatnonzero((ours != theirs) & good & also_good)
        if not len(differing):
            return None
        row = differing[0]
        return f"row {rows.start + row} is {ours[row]} in {first.name}, {theirs[row]} in {second.name}"

    return _over_ranges((first, second), leaf, lambda a, b: b if a is None else a, "compare paths", execution)


def _over_ranges(
    members: Sequence[Member],
    leaf: Callable[[range], P],
    combine: Callable[[P, P], P],
    label: str,
    execution: Execution,
) -> P:
    """Reduce over ranges of images, which are as long as the longest blocks: most blocks are read once."""
    images = members[0].snapshot.schema.images
    length = max(DEFAULT_CHUNK_ROWS, *(member.snapshot.schema.chunk_rows for member in members))

    def on_range(number: int) -> P:
        return leaf(range(number * length, min((number + 1) * length, images)))

    numbers = range(-(-images // length))
    return map_reduce(numbers, on_range, combine, execution, label=label)

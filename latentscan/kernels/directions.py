"""The direction of the points along which something known of them grows, from sums over one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.covariance import ROWS, Covariance
from latentscan.kernels.tiles import tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RANK = 1e-9  # of the largest variance along an axis: what is less is rounding
PENALTIES = np.geomspace(1e-7, 1e3, 61)  # in variances of a component
LEFT = 0.02  # share of degrees of freedom that a fit leaves at least


@dataclass(frozen=True)
class SharedMoments:
    """What points and attributes have in common; of each attribute, over the rows where it is known.

    Parameters
    ----------
    count
        Number of those rows, (attribute,).
    value, square
        Mean of the attribute, and sum of its squared deviations from that, (attribute,).
    mean
        Mean of the points, (attribute, component).
    product
        Sums of products of the deviations of both, (attribute, component).
    """

    count: Floats
    value: Floats
    square: Floats
    mean: Floats
    product: Floats

    def merge(self, other: SharedMoments) -> SharedMoments:
        """Return the moments of both sets of rows together.

        Chan, T. F., Golub, G. H., LeVeque, R. J. (1982), Updating formulae and a pairwise algorithm for
        computing sample variances, equation 2.1, for pairs of measures.
        """
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        weight = self.count * share
        apart, away = other.value - self.value, other.mean - self.mean
        return SharedMoments(
            count,
            self.value + apart * share,
            self.square + other.square + apart**2 * weight,
            self.mean + away * share[:, None],
            self.product + other.product + away * (apart * weight)[:, None],
        )


def shared_moments(x: NDArray[np.floating], values: Floats) -> SharedMoments:
    """Compute what the rows of a block have in common with attributes.

    Parameters
    ----------
    x
        Rows, (n, component).
    values
        Their attributes, NaN where one is not known, (n, attribute).

    Examples
    --------
    >>> found = shared_moments(np.array([[0.0], [1.0], [5.0]]), np.array([[1.0], [3.0], [np.nan]]))
    >>> found.count, found.value, found.product
    (array([2.]), array([2.]), array([[1.]]))
    """
    attributes = values.shape[1]
    none = SharedMoments(
        *(np.zeros(attributes) for _ in range(3)), *(np.zeros((attributes, x.shape[1])) for _ in range(2))
    )
    return reduce(
        SharedMoments.merge, (_of_tile(x[tile], values[tile]) for tile in tiles(len(x), ROWS)), none
    )


def _of_tile(x: NDArray[np.floating], values: Floats) -> SharedMoments:
    is_known = np.isfinite(values)
    count = is_known.sum(axis=0).astype(np.float64)
    held = np.maximum(count, 1)
    value = np.where(is_known, values, 0).sum(axis=0) / held
    deviation = np.where(is_known, values - value, 0)
    shift = x[0].astype(np.float64)
    moved = x - shift
    mean = (is_known.astype(np.float64).T @ moved) / held[:, None]
    # deviations of the attribute sum to zero: only their rounding meets the mean of the points
    product = deviation.T @ moved - deviation.sum(axis=0)[:, None] * mean
    some = (count > 0)[:, None]
    return SharedMoments(count, value, (deviation**2).sum(axis=0), np.where(some, mean + shift, 0), product)


@dataclass(frozen=True)
class Directions:
    """Along which the points of each attribute are scored.

    Parameters
    ----------
    vectors
        Of length 1, (attribute, component); 0 where no component varies along with an attribute.
    spread
        Standard deviation of the scores, the products of points and vector, (attribute,).
    steps
        How the points change on average as the score grows by one such deviation, (attribute, component).
    component
        The one that is correlated most with the attribute, (attribute,), and the sign of that, (attribute,).
    sign
        Of that correlation.
    shrinkage
        Share of the identity in the correlation matrix, (attribute,).
    """

    vectors: Floats
    spread: Floats
    steps: Floats
    component: NDArray[np.int64]
    sign: Floats
    shrinkage: Floats


def directions(points: Covariance, shared: SharedMoments) -> Directions:
    """Fit the direction of each attribute: Fisher's discriminant, or ridge regression.

    It is C⁻¹ c, where c are the covariances of the components and the attribute, and C is the covariance of
    the points, shrunk. Of two classes c points from the mean of the one to that of the other, and by
    Sherman & Morrison the vector is that of the pooled covariance within the classes: both covariances
    differ in a multiple of c cᵀ, which changes the length of C⁻¹ c alone. So one matrix serves all
    attributes, and rows where one is not known have their part in it.

    The correlations are shrunk towards 0, and not the covariances, so that the scale of a component does not
    matter; by how much is the choice of generalized cross-validation (Golub, Heath & Wahba 1979), of each
    attribute: next to nothing where rows are many, which thin directions need, and much where they are few.

    Parameters
    ----------
    points
        The covariance of the rows.
    shared
        What the same rows have in common with the attributes.
    """
    matrix = points.matrix
    deviation = np.sqrt(matrix.diagonal())
    varies = deviation > 0
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    correlations = matrix * np.outer(scale, scale)
    variances, axes = np.linalg.eigh(correlations)
    variances = np.maximum(variances, RANK * variances[-1])
    common = shared.product / np.maximum(shared.count, 1)[:, None] * scale
    along = common @ axes
    penalties = np.array(
        [_penalty(variances, *one) for one in zip(along, _variances(shared), shared.count, strict=True)]
    )
    shrunk = variances + penalties[:, None]
    inverse = np.divide(1.0, shrunk, out=np.zeros_like(shrunk), where=shrunk > 0)
    vectors = (along * inverse) @ axes.T * scale
    lengths = np.linalg.norm(vectors, axis=1)
    vectors /= np.where(lengths > 0, lengths, 1)[:, None]
    towards = vectors @ matrix
    spread = np.sqrt(np.maximum((towards * vectors).sum(axis=1), 0))
    best = np.abs(common).argmax(axis=1)
    return Directions(
        vectors,
        spread,
        towards / np.where(spread > 0, spread, 1)[:, None],
        best,
        np.where(common[np.arange(len(best)), best] < 0, -1.0, 1.0),
        penalties / (1 + penalties),
    )


def _variances(shared: SharedMoments) -> Floats:
    return shared.square / np.maximum(shared.count, 1)


def _penalty(variances: Floats, along: Floats, variance: float, rows: float) -> float:
    """Return what is added to variances (axis,), by generalized cross-validation.

    Parameters
    ----------
    variances
        Of the points along the axes, (axis,).
    along
        Covariances of that with the attribute, (axis,).
    variance
        Of the attribute.
    rows
        How many there are.
    """
    with_penalty = variances + PENALTIES[:, None]
    error = variance - (along**2 * (with_penalty + PENALTIES[:, None]) / with_penalty**2).sum(axis=1)
    left = 1 - ((variances / with_penalty).sum(axis=1) + 1) / max(rows, 1)
    held = left > LEFT
    if not held.any():
        return float(PENALTIES[-1])
    scores = np.where(held, np.maximum(error, 0) / np.where(held, left, 1) ** 2, np.inf)
    return float(PENALTIES[scores.argmin()])

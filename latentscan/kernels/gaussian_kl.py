"""The KL divergence of a Gaussian from N(0, I), and what of it are the marginals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class GaussianKl(NamedTuple):
    """KL of the Gaussian of a cloud's mean and covariance from N(0, I), in nats.

    Parameters
    ----------
    total
        All of it.
    marginals
        That of the components, each by itself.
    correlation
        The rest: their total correlation, 0 where components are uncorrelated.
    floor
        What a sample of N(0, I) as large has on average.
    """

    total: float
    marginals: float
    correlation: float
    floor: float


def gaussian_kl(mean: Floats, eigenvalues: Floats, axes: Floats, count: int) -> GaussianKl:
    """Return the KL of a Gaussian from N(0, I): ½ (tr S + m² − d − ln det S).

    It bounds KL(q(z) || N(0, I)) of the cloud q itself from below. Total correlation: Watanabe, S. (1960),
    Information theoretical analysis of multivariate correlation, IBM Journal 4, page 66. The floor is the
    number of free parameters d (d + 3) / 2 over 2n (Wilks 1938).

    Parameters
    ----------
    mean
        Of the cloud, (component,).
    eigenvalues, axes
        Of its covariance, (axis,) and (axis, component); NaN comes of a variance of 0.
    count
        How many points it has.

    Examples
    --------
    >>> found = gaussian_kl(np.array([1.0, 0.0]), np.ones(2), np.eye(2), 1000)
    >>> found.total, found.marginals, found.correlation, found.floor
    (0.5, 0.5, 0.0, 0.0025)
    """
    components = len(mean)
    variances = eigenvalues @ axes**2
    with np.errstate(divide="ignore", invalid="ignore"):
        own, joint = np.log(variances).sum(), np.log(eigenvalues).sum()
        marginals = ((variances + mean**2 - 1).sum() - own) / 2
        correlation = (own - joint) / 2
    found = [float(value) if np.isfinite(value) else float("nan") for value in (marginals, correlation)]
    return GaussianKl(sum(found), found[0], found[1], components * (components + 3) / (4 * count))

"""How alike two clouds of points are that stand for the same images: linear CKA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from latentscan.kernels.covariance import Covariance


def linear_cka(joint: Covariance, first: slice, second: slice) -> tuple[float, float]:
    """Compute the linear CKA of two groups of components, and its mean if the rows of one were shuffled.

    ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) with Frobenius norms and centred components: 1 where one is the other rotated,
    scaled and shifted. Kornblith, S., Norouzi, M., Lee, H., Hinton, G. (2019), Similarity of neural
    network representations revisited, table 1. The mean of ‖XᵀPY‖² over all permutations P is
    tr(XᵀX) tr(YᵀY) / (n − 1): few rows of many components look alike by chance. Both are NaN where all
    rows of a group are equal.

    Parameters
    ----------
    joint
        The covariance of the components of both groups side by side.
    first, second
        The components of each group.

    Examples
    --------
    >>> from latentscan.kernels.covariance import covariance
    >>> x = np.array([[0.0], [1.0], [5.0]], np.float32)
    >>> linear_cka(covariance(np.hstack([x, 5 - 2 * x])), slice(0, 1), slice(1, 2))
    (1.0, 0.5)
    """
    own, others = joint.scatter[first, first], joint.scatter[second, second]
    size = np.linalg.norm(own) * np.linalg.norm(others)
    if not size > 0:
        return np.nan, np.nan
    cross = np.sum(joint.scatter[first, second] ** 2)
    chance = np.trace(own) * np.trace(others) / (joint.count - 1)
    return min(float(cross / size), 1.0), float(chance / size)

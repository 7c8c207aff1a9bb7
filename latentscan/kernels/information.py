"""How much of the KL loss is information about the image, and how much distance from the prior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.moments import Moments, moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.reduction import LatentBlock

    Floats = NDArray[np.float64]

TILE = 1024  # rows of which densities are computed together


@dataclass(frozen=True)
class Anchors:
    """Some z-points, each sampled from the posterior of its image.

    Parameters
    ----------
    images
        The numbers of the images, (anchor,).
    z
        The points, (anchor, component).
    own
        The log density of each under the posterior of its own image, (anchor,).
    """

    images: NDArray[np.int64]
    z: Floats
    own: Floats

    @classmethod
    def of(
        cls,
        images: NDArray[np.int64],
        z: NDArray[np.floating],
        mu: NDArray[np.floating],
        logvar: NDArray[np.floating],
    ) -> Anchors:
        """Return points with their own densities, from the latents of their images."""
        exact, spread = z.astype(np.float64), logvar.astype(np.float64)
        squares = (exact - mu) ** 2 * np.exp(-spread) + spread + math.log(2 * math.pi)
        return cls(images, exact, -squares.sum(axis=1) / 2)


@dataclass(frozen=True)
class RatePartial:
    """What some rows say of the KL loss.

    Parameters
    ----------
    kl
        The moments of the KL of an image: the part of mu², and that of the variance.
    largest, total
        Of the densities of the anchors under the posteriors of other images: the largest logarithm, and the
        sum of the densities as multiples of it, (anchor,).
    """

    kl: Moments
    largest: Floats
    total: Floats

    def merge(self, other: RatePartial) -> RatePartial:
        """Return what both sets of rows say."""
        largest, total = _add((self.largest, self.total), (other.largest, other.total))
        return RatePartial(self.kl.merge(other.kl), largest, total)


def rate_partial(block: LatentBlock, anchors: Anchors) -> RatePartial:
    """Compute the KL of the images of a block, and the densities of the anchors under their posteriors.

    Parameters
    ----------
    block
        Rows with `mu` and `logvar`.
    anchors
        The points.
    """
    found = moments(np.empty((0, 2)))
    sums = (np.full(len(anchors.z), -np.inf), np.zeros(len(anchors.z)))
    for start in range(0, len(block.images), TILE):
        part = slice(start, start + TILE)
        mu = block.latents["mu"][part].astype(np.float64)
        logvar = block.latents["logvar"][part].astype(np.float64)
        halves = [(mu**2).sum(axis=1), (np.exp(logvar) - 1 - logvar).sum(axis=1)]
        found = found.merge(moments(np.stack(halves, axis=1) / 2))
        logs = _log_densities(anchors, block.images[part], mu, logvar)
        peak = logs.max(axis=1)
        with np.errstate(invalid="ignore"):
            share = np.exp(logs - peak[:, None]).sum(axis=1)
        sums = _add(sums, (peak, np.where(np.isfinite(peak), share, 0.0)))
    return RatePartial(found, *sums)


def information(anchors: Anchors, found: RatePartial) -> Floats:
    """Return the information of each anchor about its image in nats, (anchor,).

    log q(z|x) − log q(z), where q(z) is the mean of the posteriors of all images: its mean over z is the
    mutual information of image and z, the first part of the KL; the rest is KL(q(z) || p(z)). Hoffman, M. D.,
    Johnson, M. J. (2016), ELBO surgery, equation 7. It is at most the logarithm of the number of images.
    """
    count = np.ones(len(anchors.own))
    largest, total = _add((found.largest, found.total), (anchors.own, count))
    with np.errstate(divide="ignore"):
        return np.asarray(anchors.own - (largest + np.log(total) - math.log(found.kl.count)))


def _log_densities(anchors: Anchors, images: NDArray[np.int64], mu: Floats, logvar: Floats) -> Floats:
    """Return log q(anchor | image), (anchor, image), −∞ for the anchor's own image, whose is known exactly.

    The squares are expanded, which is exact enough for other images: where that rounds, they are far away.
    """
    weights = np.exp(-np.maximum(logvar, -80.0))
    constants = (mu**2 * weights + logvar + math.log(2 * math.pi)).sum(axis=1)
    squares = anchors.z**2 @ weights.T - 2 * anchors.z @ (mu * weights).T + constants
    return np.where(anchors.images[:, None] == images, -np.inf, -squares / 2)


def _add(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Add sums that are multiples of exponentials."""
    largest = np.maximum(one[0], other[0])
    with np.errstate(invalid="ignore"):
        shares = [
            np.where(np.isfinite(peak), total * np.exp(peak - largest), 0.0) for peak, total in (one, other)
        ]
    return largest, shares[0] + shares[1]

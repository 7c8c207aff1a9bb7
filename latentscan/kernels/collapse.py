"""How much of each component is signal and how much is noise, and what the closed forms say of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.kernels.covariance import Covariance, covariance
from latentscan.kernels.tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.kernels.reduction import LatentBlock

    Floats = NDArray[np.float64]

# Press, W. H. et al. (1992), Numerical Recipes, section 6.2, function erfcc
_ERFC = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)


@dataclass(frozen=True)
class ClippedNoise:
    """The noise of a VAE, ``factor * clip(e, -limit, limit)`` with e ~ N(0, 1).

    Parameters
    ----------
    limit
        Largest absolute value of an element, in standard deviations; infinite where nothing is clipped.
    factor
        Factor on the clipped element.
    """

    limit: float = math.inf
    factor: float = 1.0

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> ClippedNoise:
        """Return the noise that a store's z was sampled with; where it does not say, N(0, 1) is assumed.

        Examples
        --------
        >>> ClippedNoise.of({"epsilon_limit": 5.0}), ClippedNoise.of({})
        (ClippedNoise(limit=5.0, factor=1.0), ClippedNoise(limit=inf, factor=1.0))
        """
        return cls(attributes.get("epsilon_limit", math.inf), attributes.get("epsilon_factor", 1.0))

    @property
    def mean_absolute(self) -> float:
        """The expected absolute value.

        Examples
        --------
        >>> round(ClippedNoise().mean_absolute, 6), round(ClippedNoise(limit=1).mean_absolute, 6)
        (0.797885, 0.631254)
        """
        inside = math.sqrt(2 / math.pi) * (1 - math.exp(-(self.limit**2) / 2))
        return self.factor * (inside + self._at_limit(1))

    @property
    def mean_square(self) -> float:
        """The expected square.

        Examples
        --------
        >>> round(ClippedNoise().mean_square, 6), round(ClippedNoise(limit=1).mean_square, 6)
        (1.0, 0.516059)
        """
        return self.factor**2 * (self._even_moment(2) + self._at_limit(2))

    @property
    def mean_fourth(self) -> float:
        """The expected fourth power.

        Examples
        --------
        >>> round(ClippedNoise().mean_fourth, 6)
        3.0
        """
        return self.factor**4 * (self._even_moment(4) + self._at_limit(4))

    def share_above(self, threshold: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the probability that the absolute value is above each of some thresholds, of any shape.

        Examples
        --------
        >>> ClippedNoise(limit=2.0).share_above(np.array([0.0, 1.0, 3.0])).round(4)
        array([1.    , 0.3173, 0.    ])
        """
        shares = np.zeros_like(threshold)
        scaled = threshold / threshold.dtype.type(self.factor or math.nan)
        reached = scaled < self.limit
        shares[reached] = erfc(scaled[reached] / threshold.dtype.type(math.sqrt(2)))
        return shares

    def _at_limit(self, power: int) -> float:
        """Return what the values beyond the limit add to a moment."""
        if math.isinf(self.limit):
            return 0.0
        return self.limit**power * math.erfc(self.limit / math.sqrt(2))

    def _even_moment(self, power: int) -> float:
        """Integrate a power of e over the values within the limit, by parts."""
        moment = math.erf(self.limit / math.sqrt(2))
        edge = 0.0 if math.isinf(self.limit) else math.sqrt(2 / math.pi) * math.exp(-(self.limit**2) / 2)
        for order in range(2, power + 1, 2):
            moment = (order - 1) * moment - (edge and edge * self.limit ** (order - 1))
        return moment


@dataclass(frozen=True)
class Deviations:
    """How far z lies from mu, measured, and as the noise and logvar say.

    Parameters
    ----------
    absolute
        Sum of |z - mu| over the rows, (components,).
    scale
        Sum of exp(logvar / 2), (components,).
    above
        How many |z - mu| are above the threshold, (components,).
    expected_above
        How many are to be expected, (components,).
    radius, expected_radius
        Sum of the absolute difference of the radii of z and mu over the rows, and what is to be expected.
    """

    absolute: Floats
    scale: Floats
    above: NDArray[np.int64]
    expected_above: Floats
    radius: float
    expected_radius: float

    def merge(self, other: Deviations) -> Deviations:
        """Return the sums over both sets of rows."""
        return Deviations(
            self.absolute + other.absolute,
            self.scale + other.scale,
            self.above + other.above,
            self.expected_above + other.expected_above,
            self.radius + other.radius,
            self.expected_radius + other.expected_radius,
        )


@dataclass(frozen=True)
class CollapsePartial:
    """What is known of some rows.

    Parameters
    ----------
    points
        Covariance of mu, or of z where there is no mu.
    noise_variance
        Sum of exp(logvar) over the rows, (components,); None without logvar.
    kl
        Sum of the KL divergence from N(0, 1) over the rows, in nats, (components,); None without mu or
        logvar.
    deviations
        None unless mu, logvar and z are there.
    """

    points: Covariance
    noise_variance: Floats | None = None
    kl: Floats | None = None
    deviations: Deviations | None = None

    def merge(self, other: CollapsePartial) -> CollapsePartial:
        """Return what is known of both sets of rows."""
        if not self.points.count or not other.points.count:
            return self if self.points.count else other
        return CollapsePartial(
            self.points.merge(other.points),
            _sum(self.noise_variance, other.noise_variance),
            _sum(self.kl, other.kl),
            None
            if self.deviations is None or other.deviations is None
            else self.deviations.merge(other.deviations),
        )


def collapse_partial(block: LatentBlock, noise: ClippedNoise, threshold: float) -> CollapsePartial:
    """Summarise the rows of a block.

    Parameters
    ----------
    block
        With those of `mu`, `logvar`, `z` that the store has.
    noise
        What z was sampled with.
    threshold
        Deviations |z - mu| above this are counted.
    """
    latents = block.latents
    points = covariance(latents["mu"] if "mu" in latents else latents["z"])
    if "logvar" not in latents or not len(block.images):
        return CollapsePartial(points)
    deviations = _deviations(block, noise, threshold) if len(latents) == 3 else None
    if "mu" not in latents:
        return CollapsePartial(points, _noise_sums(latents["logvar"])[0])
    variance, excess = _noise_sums(latents["logvar"])
    squares = points.scatter.diagonal() + points.count * points.mean**2
    return CollapsePartial(points, variance, 0.5 * (squares + excess), deviations)


def _noise_sums(logvar: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Sum exp(logvar), and exp(logvar) - logvar - 1, over the rows of (n, components), (components,) each."""
    variance, excess = np.zeros((2, logvar.shape[1]))
    with np.errstate(over="ignore"):  # the variance of so large a logvar is infinite
        for tile in tiles(len(logvar)):
            exact = logvar[tile].astype(np.float64)
            ones, own = np.ones(len(exact)), np.exp(exact)
            variance += ones @ own
            np.subtract(own, exact, out=own)
            excess += ones @ own - len(exact)  # one sum: near 0 its terms nearly cancel
    return variance, excess


def erfc(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the complementary error function, to a relative error of 1.2e-7 or what the type of `x` holds.

    Press, W. H., Teukolsky, S. A., Vetterling, W. T., Flannery, B. P. (1992), Numerical Recipes, 2nd edition,
    section 6.2, a Chebyshev fit.

    Examples
    --------
    >>> erfc(np.array([0.0, 1.0, -1.0])).round(6)
    array([1.      , 0.157299, 1.842701])
    """
    size = np.abs(x)
    t = 1 / (1 + size / 2)
    exponent = np.full_like(t, _ERFC[0])
    for coefficient in _ERFC[1:]:
        exponent *= t
        exponent += x.dtype.type(coefficient)
    exponent -= size * size
    with np.errstate(under="ignore"):
        tail = t * np.exp(exponent, out=exponent)
    found: NDArray[np.floating] = np.where(x >= 0, tail, 2 - tail)
    return found


def effective_number(shares: Floats) -> float:
    """Return how many equal parts would have the entropy of some parts (n,): exp(entropy of their shares).

    Hill, M. O. (1973), Diversity and evenness: a unifying notation and its consequences, of order 1.

    Examples
    --------
    >>> round(effective_number(np.array([2.0, 2.0, 0.0])), 9), effective_number(np.zeros(3))
    (2.0, 0.0)
    """
    total = shares.sum()
    if not total > 0 or not np.isfinite(total):
        return 0.0
    p = shares / total
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))


def participation_ratio(matrix: Floats) -> float:
    """Return the effective dimension of a covariance (components, components): tr(C)² / tr(C²).

    It is 1 for points on a line, whatever the number of components in which they vary.

    Examples
    --------
    >>> participation_ratio(np.ones((3, 3))), participation_ratio(np.eye(3))
    (1.0, 3.0)
    """
    squares = float(np.sum(matrix**2))
    return float(np.trace(matrix) ** 2 / squares) if squares else 0.0


def count_above(values: Floats, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Count the values (n,) above each threshold, (thresholds,).

    Examples
    --------
    >>> count_above(np.array([0.0, 0.02, 3.0]), (0.01, 1.0))
    array([2, 1])
    """
    return np.array([np.count_nonzero(values > threshold) for threshold in thresholds], np.int64)


def radius_difference(r: Floats, mean: Floats, variance: Floats) -> Floats:
    """Return the expected |sqrt(r² + D) - r| of radii r (n,), by two moments of a random D.

    sqrt(r² + D) is taken to be normal, with the mean and variance of its expansion to second order about
    r² + E D; the expected absolute value is that of a folded normal.

    Leone, F. C., Nelson, L. S., Nottingham, R. B. (1961), The folded normal distribution.

    Parameters
    ----------
    r
        Radii of mu, (n,).
    mean, variance
        Of D, the difference of the squared radii of z and mu, (n,).
    """
    centre = np.maximum(r * r + mean, np.finfo(np.float64).tiny)
    shift = np.sqrt(centre) - variance / (8 * centre**1.5) - r
    spread = np.sqrt(variance / (4 * centre))
    ratio = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0)
    folded = spread * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + shift * (
        1 - erfc(ratio / math.sqrt(2))
    )
    return np.where(spread > 0, folded, np.abs(shift))


def _deviations(block: LatentBlock, noise: ClippedNoise, threshold: float) -> Deviations:
    """Compare z with mu, element by element in float64, in which no difference or exponential overflows."""
    mu, logvar, z = (block.latents[name] for name in ("mu", "logvar", "z"))
    components = mu.shape[1]
    absolute, scale, expected_above = np.zeros((3, components))
    above = np.zeros(components, np.int64)
    radius = expected_radius = 0.0
    second, fourth = noise.mean_square, noise.mean_fourth
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for tile in tiles(len(mu)):
            exact_mu, exact_z, sigma = _exact(mu[tile]), _exact(z[tile]), np.exp(_exact(logvar[tile]) / 2)
            deviation = np.abs(exact_z - exact_mu)
            absolute += deviation.sum(axis=0)
            exceeding = deviation > threshold
            if exceeding.any():
                above += np.count_nonzero(exceeding, axis=0)
            scale += sigma.sum(axis=0)
            # in float32, twice as fast, whose digits these shares need
            ratio = (threshold / sigma).astype(np.float32)
            expected_above += noise.share_above(ratio).sum(axis=0, dtype=np.float64)
            r_z, r_mu = (np.sqrt(np.vecdot(part, part)) for part in (exact_z, exact_mu))
            radius += float(np.abs(r_z - r_mu).sum())
            variances = sigma**2
            drift = second * variances.sum(axis=1)
            spread = 4 * second * np.vecdot(exact_mu**2, variances)
            spread += (fourth - second**2) * np.vecdot(variances, variances)
            expected_radius += float(radius_difference(r_mu, drift, spread).sum())
    return Deviations(absolute, scale, above, expected_above, radius, expected_radius)


def _exact(part: NDArray[np.float32]) -> Floats:
    return part.astype(np.float64)


def _sum(one: Floats | None, other: Floats | None) -> Floats | None:
    return None if one is None or other is None else one + other

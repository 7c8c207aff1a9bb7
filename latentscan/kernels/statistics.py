"""The study's table of statistics as one reduction: logvar, deviation of z from mu, radii, KL, moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.adaptive import AdaptiveHistogram, adaptive_histogram
from latentscan.kernels.duplicates import Repeats, repeats
from latentscan.kernels.extremes import Maxima, maxima, negated_minima
from latentscan.kernels.histogram import Bins, Histogram, RelativeHistogram, histogram, relative_histogram
from latentscan.kernels.moments import Moments, moments
from latentscan.kernels.noise_fit import NoiseFit, noise_fit
from latentscan.kernels.sampling import is_sampled
from latentscan.kernels.tiles import tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.reduction import LatentBlock

SEED = 0  # of the samples of rows


@dataclass(frozen=True)
class Settings:
    """What is counted.

    Parameters
    ----------
    deviation_threshold
        Deviations of z from mu above it are counted.
    interval
        Components of logvar in this closed interval [low, high] are counted.
    bins
        Of the histograms of radii; found from the radii if None.
    ranges
        Radii in these half open ranges [low, high) are counted.
    shape_rate, noise_rate
        Share of the rows whose distribution along every component is counted, and whose z is compared with
        mu and logvar value by value.
    """

    deviation_threshold: float
    interval: tuple[float, float]
    bins: Bins | None = None
    ranges: tuple[tuple[float, float], ...] = ()
    shape_rate: float = 1.0
    noise_rate: float = 1.0


@dataclass(frozen=True)
class LogvarPartial:
    """The statistics of logvar.

    Parameters
    ----------
    maxima, negated_minima
        Of every component.
    total
        Sum of logvar, (components,).
    excess
        Sum of exp(logvar) − logvar − 1, (components,).
    within
        Number of components of all rows within the interval.
    """

    maxima: Maxima
    negated_minima: Maxima
    total: NDArray[np.float64]
    excess: NDArray[np.float64]
    within: int

    def merge(self, other: LogvarPartial) -> LogvarPartial:
        """Return the partial of both sets of rows."""
        return LogvarPartial(
            self.maxima.merge(other.maxima),
            self.negated_minima.merge(other.negated_minima),
            self.total + other.total,
            self.excess + other.excess,
            self.within + other.within,
        )


@dataclass(frozen=True)
class DeviationPartial:
    """The statistics of |z − mu|.

    Parameters
    ----------
    maxima
        Of every component.
    above
        Number of rows above the threshold, (components,).
    """

    maxima: Maxima
    above: NDArray[np.int64]

    def merge(self, other: DeviationPartial) -> DeviationPartial:
        """Return the partial of both sets of rows."""
        return DeviationPartial(self.maxima.merge(other.maxima), self.above + other.above)


@dataclass(frozen=True)
class RadiusPartial:
    """The statistics of one array's radii.

    Parameters
    ----------
    maximum, negated_minimum
        With their images, (1,).
    moments
        (1,).
    values
        All radii, in narrow bins.
    histogram
        In the bins of the settings; None if they have none.
    within
        Number of radii in each range, (ranges,).
    """

    maximum: Maxima
    negated_minimum: Maxima
    moments: Moments
    values: RelativeHistogram
    histogram: Histogram | None
    within: NDArray[np.int64]

    def merge(self, other: RadiusPartial) -> RadiusPartial:
        """Return the partial of both sets of rows."""
        return RadiusPartial(
            self.maximum.merge(other.maximum),
            self.negated_minimum.merge(other.negated_minimum),
            self.moments.merge(other.moments),
            self.values.merge(other.values),
            self.histogram.merge(other.histogram) if self.histogram and other.histogram else None,
            self.within + other.within,
        )


@dataclass(frozen=True)
class DifferencePartial:
    """The statistics of |r_z − r_mu|, absolute and relative to r_z.

    Parameters
    ----------
    maxima
        With their images, (2,).
    total
        Their sums, (2,).
    """

    maxima: Maxima
    total: NDArray[np.float64]

    def merge(self, other: DifferencePartial) -> DifferencePartial:
        """Return the partial of both sets of rows."""
        return DifferencePartial(self.maxima.merge(other.maxima), self.total + other.total)


@dataclass(frozen=True)
class StatsPartial:
    """The statistics of a range of blocks; parts whose arrays are absent are None or left out.

    Parameters
    ----------
    moments, radii
        Of mu and z, by the name of the array.
    logvar, deviation, difference
        Those of logvar, of z − mu, and of the radii's difference.
    repeats
        How often each row of the points occurs: of mu, or of z where there is no mu.
    shape
        The distribution of the points along every component, of a sample of the rows.
    noise
        Whether z fits mu and logvar, of a sample of the rows.
    """

    moments: dict[str, Moments]
    radii: dict[str, RadiusPartial]
    logvar: LogvarPartial | None
    deviation: DeviationPartial | None
    difference: DifferencePartial | None
    repeats: Repeats
    shape: AdaptiveHistogram
    noise: NoiseFit | None

    def merge(self, other: StatsPartial) -> StatsPartial:
        """Return the partial of both ranges, `other` being the later one."""
        return StatsPartial(
            {name: part.merge(other.moments[name]) for name, part in self.moments.items()},
            {name: part.merge(other.radii[name]) for name, part in self.radii.items()},
            self.logvar.merge(other.logvar) if self.logvar and other.logvar else None,
            self.deviation.merge(other.deviation) if self.deviation and other.deviation else None,
            self.difference.merge(other.difference) if self.difference and other.difference else None,
            self.repeats.merge(other.repeats),
            self.shape.merge(other.shape),
            self.noise.merge(other.noise) if self.noise and other.noise else None,
        )


def stats_partial(block: LatentBlock, settings: Settings) -> StatsPartial:
    """Compute all statistics of a block.

    Parameters
    ----------
    block
        Its good rows.
    settings
        What is counted.

    Examples
    --------
    >>> from latentscan.kernels.reduction import LatentBlock
    >>> settings = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ((1.0, 2.0),))
    >>> z = np.array([[1.0], [3.0]], np.float32)
    >>> found = stats_partial(LatentBlock(np.arange(2), {"z": z}), settings)
    >>> found.radii["z"].within, found.repeats.repeated
    (array([1]), 0)
    """
    images, latents = block.images, block.latents
    points = {name: latents[name] for name in ("mu", "z") if name in latents}
    lengths = {name: radii(x) for name, x in points.items()}
    both = len(points) == 2
    seen = next(iter(points.values()))
    return StatsPartial(
        moments={name: moments(x) for name, x in points.items()},
        radii={name: radius_partial(r, images, settings) for name, r in lengths.items()},
        logvar=logvar_partial(latents["logvar"], images, settings) if "logvar" in latents else None,
        deviation=deviation_partial(latents["mu"], latents["z"], images, settings) if both else None,
        difference=difference_partial(lengths["mu"], lengths["z"], images) if both else None,
        repeats=repeats(seen, images),
        shape=adaptive_histogram(seen[is_sampled(images, settings.shape_rate, SEED)]),
        noise=_noise_of(block, settings) if both and "logvar" in latents else None,
    )


def _noise_of(block: LatentBlock, settings: Settings) -> NoiseFit:
    sampled = is_sampled(block.images, settings.noise_rate, SEED)
    return noise_fit(*(block.latents[name][sampled] for name in ("mu", "logvar", "z")))


def radii(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the radius, the L2 norm, of every row, (n,).

    Parameters
    ----------
    x
        Rows, (n, components).

    Examples
    --------
    >>> radii(np.array([[3.0, 4.0]], np.float32))
    array([5.])
    """
    squares = np.empty(len(x))
    for tile in tiles(len(x)):
        part = x[tile].astype(np.float64)
        np.einsum("ij,ij->i", part, part, out=squares[tile])
    return np.sqrt(squares)


def logvar_partial(
    logvar: NDArray[np.float32], images: NDArray[np.int64], settings: Settings
) -> LogvarPartial:
    """Compute the statistics of logvar.

    Parameters
    ----------
    logvar
        (n, components).
    images
        The number of each row's image, (n,).
    settings
        Has the interval.

    Examples
    --------
    >>> settings = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ())
    >>> part = logvar_partial(np.array([[0.0], [-4.0]], np.float32), np.arange(2), settings)
    >>> part.maxima.values, part.total, part.within
    (array([0.], dtype=float32), array([-4.]), 1)
    """
    low, high = settings.interval
    total, excess = np.zeros((2, logvar.shape[1]))
    within = 0
    for tile in tiles(len(logvar)):
        part = logvar[tile]
        ones, exact = np.ones(len(part)), part.astype(np.float64)
        total += ones @ exact
        with np.errstate(over="ignore"):  # the KL of so large a logvar is infinite
            excess += ones @ (np.exp(exact) - exact) - len(part)  # one sum: near 0 its terms nearly cancel
        within += int(np.count_nonzero((part >= low) & (part <= high)))
    return LogvarPartial(maxima(logvar, images), negated_minima(logvar, images), total, excess, within)


def deviation_partial(
    mu: NDArray[np.float32], z: NDArray[np.float32], images: NDArray[np.int64], settings: Settings
) -> DeviationPartial:
    """Compute the statistics of |z − mu|.

    Parameters
    ----------
    mu, z
        (n, components).
    images
        The number of each row's image, (n,).
    settings
        Has the threshold.

    Examples
    --------
    >>> settings = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ())
    >>> mu, z = np.zeros((2, 1), np.float32), np.array([[0.25], [0.03125]], np.float32)
    >>> part = deviation_partial(mu, z, np.array([70, 71]), settings)
    >>> part.maxima.values, part.maxima.images, part.above
    (array([0.25], dtype=float32), array([70]), array([1]))
    """
    with np.errstate(over="ignore"):
        deviation = z - mu
    np.abs(deviation, out=deviation)
    exceeding = deviation > settings.deviation_threshold
    above = np.zeros(mu.shape[1], np.int64)
    if exceeding.any():
        above += np.count_nonzero(exceeding, axis=0)
    largest = maxima(deviation, images)
    if np.isinf(largest.values).any() and len(images):  # the difference of two numbers near the largest
        largest = maxima(np.abs(np.subtract(z, mu, dtype=np.float64)), images)
    return DeviationPartial(largest, above)


def radius_partial(r: NDArray[np.float64], images: NDArray[np.int64], settings: Settings) -> RadiusPartial:
    """Compute the statistics of the radii of one array.

    Parameters
    ----------
    r
        Radii, (n,).
    images
        The number of each row's image, (n,).
    settings
        Has bins and ranges.

    Examples
    --------
    >>> settings = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ((1.0, 2.0),))
    >>> part = radius_partial(np.array([1.5, 4.0]), np.array([70, 71]), settings)
    >>> part.maximum.values, part.maximum.images, part.within
    (array([4.]), array([71]), array([1]))
    """
    column = r[:, np.newaxis]
    within = [np.count_nonzero((r >= low) & (r < high)) for low, high in settings.ranges]
    return RadiusPartial(
        maxima(column, images),
        negated_minima(column, images),
        moments(column),
        relative_histogram(r),
        None if settings.bins is None else histogram(r, settings.bins),
        np.array(within, np.int64),
    )


def difference_partial(
    r_mu: NDArray[np.float64], r_z: NDArray[np.float64], images: NDArray[np.int64]
) -> DifferencePartial:
    """Compute the statistics of |r_z − r_mu|, absolute and relative to r_z; 0 relative to a zero radius.

    Parameters
    ----------
    r_mu, r_z
        Radii, (n,).
    images
        The number of each row's image, (n,).

    Examples
    --------
    >>> part = difference_partial(np.array([3.0, 2.0]), np.array([4.0, 2.0]), np.array([70, 71]))
    >>> part.maxima.values, part.maxima.images, part.total
    (array([1.  , 0.25]), array([70, 70]), array([1.  , 0.25]))
    """
    absolute = np.abs(r_z - r_mu)
    relative = np.divide(absolute, r_z, out=np.zeros_like(r_z), where=r_z > 0)
    both = np.stack([absolute, relative], axis=1)
    return DifferencePartial(maxima(both, images), both.sum(axis=0))


def unscaled_kl(mu: Moments, logvar: LogvarPartial) -> NDArray[np.float64]:
    """Compute the mean KL divergence of N(mu, exp(logvar)) from N(0, 1), in nats, (components,).

    Kingma, D. P., Welling, M. (2014), Auto-encoding variational Bayes, appendix B:
    −½ (1 + logvar − mu² − exp(logvar)), not multiplied by the fact of the loss.

    Parameters
    ----------
    mu
        Its moments.
    logvar
        Its statistics, of the same images.

    Examples
    --------
    >>> settings = Settings(0.05, (-3.0, 5.0), Bins(0.5, 6.0), ())
    >>> logvar = logvar_partial(np.zeros((2, 1), np.float32), np.arange(2), settings)
    >>> unscaled_kl(moments(np.array([[1.0], [-1.0]], np.float32)), logvar)
    array([0.5])
    """
    mean_square = mu.mean**2 + mu.variance
    return 0.5 * (mean_square + logvar.excess / mu.count)

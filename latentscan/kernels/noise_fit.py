"""Whether z is mu and noise of the standard deviation that logvar says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# what may stand in logvar, and the standard deviation that it then means
READINGS = (
    "log variance",
    "log standard deviation",
    "negative log variance",
    "variance",
    "standard deviation",
)
FINEST = 2.0**-17  # of |mu|: below that a standard deviation is near the rounding of z itself
_TOGETHER = 1 << 14  # values, of which a core holds what is made
LARGEST = 80.0  # |logvar| whose exponentials, squared, are of float64


@dataclass(frozen=True)
class NoiseFit:
    """The deviations of z from mu in units of each reading's standard deviation.

    Parameters
    ----------
    count
        Values that were looked at: not those whose noise drowns in the rounding of z.
    total
        Sum of the deviations of the first reading.
    squares
        Sums of the squared deviations, (readings,); infinite or NaN where a reading is impossible.
    fourths
        Sum of the fourth powers of the first reading.
    """

    count: int
    total: float
    squares: NDArray[np.float64]
    fourths: float

    def merge(self, other: NoiseFit) -> NoiseFit:
        """Return the sums over both sets of values."""
        return NoiseFit(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.fourths + other.fourths,
        )

    @property
    def mean(self) -> float:
        """The mean deviation; NaN without values."""
        return self.total / self.count if self.count else float("nan")

    @property
    def variances(self) -> NDArray[np.float64]:
        """The mean squares of the deviations, (readings,); NaN without values."""
        return self.squares / self.count if self.count else np.full(len(READINGS), np.nan)

    @property
    def variance_error(self) -> float:
        """The standard error of the first of the mean squares."""
        if not self.count:
            return float("nan")
        spread = self.fourths / self.count - float(self.variances[0]) ** 2
        return float(np.sqrt(max(spread, 0.0) / self.count))


def noise_fit(mu: NDArray[np.float32], logvar: NDArray[np.float32], z: NDArray[np.float32]) -> NoiseFit:
    """Compare z with mu and logvar, each (n, components).

    Examples
    --------
    >>> logvar = np.full((1000, 2), -2, np.float32)
    >>> noise = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32)
    >>> noise_fit(0 * logvar, logvar, np.exp(logvar / 2) * noise).variances.round(2)
    array([1.  , 7.4 , 0.02,  nan,  nan])
    """
    flat = [array.reshape(-1) for array in (mu, logvar, z)]
    nothing = NoiseFit(0, 0.0, np.zeros(len(READINGS)), 0.0)
    pieces = range(0, mu.size, _TOGETHER)
    return reduce(
        NoiseFit.merge, (_fit(*(array[at : at + _TOGETHER] for array in flat)) for at in pieces), nothing
    )


def _fit(mu: NDArray[np.float32], logvar: NDArray[np.float32], z: NDArray[np.float32]) -> NoiseFit:
    """Compare values, (n,) each."""
    wide = logvar.astype(np.float64)
    with np.errstate(all="ignore"):
        sigma = np.exp(wide / 2)
        seen = (sigma > FINEST * np.abs(mu.astype(np.float64))) & (np.abs(wide) < LARGEST)
        wide, sigma = wide[seen], sigma[seen]
        deviation = z[seen].astype(np.float64) - mu[seen]
        squares = deviation**2
        e = deviation / sigma
        negative = bool((wide < 0).any())
        readings = (
            e @ e,
            np.sum(squares / sigma**4),
            np.sum(squares * sigma**2),
            np.nan if negative else np.sum(squares / wide),
            np.nan if negative else np.sum(squares / wide**2),
        )
    return NoiseFit(int(seen.sum()), float(e.sum()), np.array(readings, np.float64), float(np.sum(e**4)))

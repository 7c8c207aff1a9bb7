"""What analyses should find, in extended precision and by the plainest formulas; each with its tolerance.

`np.longdouble` has 64 bits of mantissa on x86 (unit roundoff 5.4e-20), and the exponent of a quadruple: no
sum or square of float32 numbers overflows in it, and it loses a thousandth of what float64 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from latentscan.store.results import Result

Wide = Any  # arrays of np.longdouble
EPS = float(np.finfo(np.float64).eps)
EPS_32 = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Quantity:
    """A number or an array that was found, what it should be, and how far it may be off.

    Parameters
    ----------
    name
        What it is.
    found, expected
        The values.
    tolerance
        The largest difference that may be, in the unit of the values.
    """

    name: str
    found: Any
    expected: Any
    tolerance: Any

    @property
    def excess(self) -> float:
        """The largest difference as a multiple of the tolerance; infinite where one is not finite."""
        off = np.abs(np.asarray(self.found, np.longdouble) - np.asarray(self.expected, np.longdouble))
        least = np.finfo(np.longdouble).tiny
        ratio = np.where(off == 0, 0, off / np.maximum(np.asarray(self.tolerance, np.longdouble), least))
        return float(np.max(ratio)) if np.isfinite(ratio).all() else np.inf


def wide(values: NDArray[Any]) -> Wide:
    """Return values in extended precision."""
    return np.asarray(values, np.longdouble)


def of_stats(result: Result, arrays: Mapping[str, NDArray[np.float32]]) -> Iterator[Quantity]:
    """Compare what `stats` finds."""
    names = result["array"].tolist()
    for at, name in enumerate(names):
        yield from _of_moments(name, result, at, wide(arrays[name]))
        radii = np.sqrt((wide(arrays[name]) ** 2).sum(axis=1))
        largest = radii.max()
        # a radius is a sum of squares in float64, rounded where it is stored
        yield Quantity(f"{name} radius_mean", result["radius_mean"][at], radii.mean(), 1e-12 * largest)
        # the spread of radii that are nearly the same is what their own rounding leaves
        yield Quantity(f"{name} radius_std", result["radius_std"][at], radii.std(), 1e-9 * largest)
        for extreme, value in (("radius_min", radii.min()), ("radius_max", largest)):
            yield Quantity(f"{name} {extreme}", result[extreme][at], value, 4 * EPS_32 * value)
    if "kl" in result:
        yield _kl(result, wide(arrays["mu"]), wide(arrays["logvar"]))
        deviation = np.abs(wide(arrays["z"]) - wide(arrays["mu"])).max(axis=0)
        # the difference of two float32 numbers, itself in float32 or better
        found = result["deviation_max"] if result["deviation_max"].shape else np.max(result["deviation_max"])
        yield Quantity("deviation_max", found, deviation, 2 * EPS_32 * deviation)


def of_axes(result: Result, arrays: Mapping[str, NDArray[np.float32]]) -> Iterator[Quantity]:
    """Compare the moments and the extremes that `axes` finds."""
    for at, name in enumerate(result["array"].tolist()):
        values = wide(arrays[name])
        yield from _of_moments(name, result, at, values)
        # extremes are values of the data: exact
        yield Quantity(f"{name} lowest", result["lowest"][at], values.min(axis=0), 0)
        yield Quantity(f"{name} highest", result["highest"][at], values.max(axis=0), 0)


def of_pca(result: Result, arrays: Mapping[str, NDArray[np.float32]]) -> Iterator[Quantity]:
    """Compare mean, covariance and eigenvalues that `pca` finds of z."""
    values = wide(arrays["z"])
    mean = values.mean(axis=0)
    yield Quantity("mean", result["mean"], mean, _mean_tolerance(values))
    centred = values - mean
    covariance = centred.T @ centred / len(values)
    largest = float(np.abs(covariance).max())
    # the covariance that the axes and eigenvalues stand for: 1e-12 of its largest entry, as float64 promises
    axes = wide(result["axes"])
    rebuilt = (axes.T * wide(result["eigenvalue"])) @ axes
    yield Quantity("covariance", rebuilt, covariance, 1e-12 * largest * len(covariance))
    scaled = (covariance / largest).astype(np.float64) if largest else covariance.astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(scaled)[::-1] * largest
    # an eigenvalue is off by no more than the covariance is (Weyl), and by what eigvalsh itself loses
    yield Quantity("eigenvalue", result["eigenvalue"], eigenvalues, 1e-12 * largest * len(covariance))


def of_kmeans(result: Result, arrays: Mapping[str, NDArray[np.float32]]) -> Iterator[Quantity]:
    """Compute the inertia again from the centres that `kmeans` saves, and compare that of one cluster."""
    values = wide(arrays["z"])
    total = ((values - values.mean(axis=0)) ** 2).sum()
    yield Quantity("total", result["total"], total, 1e-6 * total)
    ks, seeds = result["k"].tolist(), result["seed"].tolist()
    for row, k in enumerate(ks):
        for column, seed in enumerate(seeds):
            own = (result["centre_k"] == k) & (result["centre_seed"] == seed)
            inertia = nearest_squares(values, wide(result["centres"][own])).sum()
            # centres are saved in float32: their own rounding is EPS_32 of the largest value, which counts
            # twice for each row, times its distance
            rounding = 2 * EPS_32 * np.abs(values).max() * np.sqrt(inertia * values.size)
            tolerance = 1e-5 * inertia + rounding
            yield Quantity(f"inertia of k={k}", result["inertia"][row, column], inertia, tolerance)
    if 1 in ks:
        best = result["inertia"][ks.index(1)].min()
        # one cluster's inertia cannot be far above the total: mini-batches reach its mean
        yield Quantity("inertia of one cluster", best, total, 0.05 * total)


def of_compare(result: Result, radii: tuple[Wide, Wide]) -> Iterator[Quantity]:
    """Compare the Wasserstein-1 distance of the radii of two stores of equally many images."""
    one, other = (np.sort(values) for values in radii)
    distance = np.abs(one - other).mean()
    spread = max(one.std(), other.std())
    name = next((key for key in ("wasserstein_distance", "earth_movers_distance") if key in result), None)
    if name is not None:
        # radii are counted in bins: half a bin of at least 128 over most of them
        yield Quantity(name, result[name][0], distance, 1e-2 * distance + 2e-3 * spread)


def of_neighbours(result: Result, points: NDArray[np.float32]) -> Iterator[Quantity]:
    """Compare the distances to the nearest neighbours of `tsne`."""
    values = wide(points[result["image"]])
    squares = ((values[:, None, :] - values[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    count = result["distances"].shape[1]
    exact = np.sqrt(np.sort(squares, axis=1)[:, :count])
    # they are float32, and squares of float32 products, which round in the unit of a row's own square
    radii = np.sqrt(((values - np.median(values, axis=0)) ** 2).sum(axis=1))[:, None]
    rounding = np.finfo(np.float32).eps * radii**2 / np.maximum(exact, np.finfo(np.float32).tiny)
    stored = np.finfo(np.float32).smallest_subnormal
    tolerance = 1e-5 * exact + 4 * np.minimum(rounding, 1e-2 * exact) + stored
    yield Quantity("distances", np.sort(result["distances"], axis=1), exact, tolerance)


def nearest_squares(values: Wide, centres: Wide) -> Wide:
    """Return the square of each row's distance to its nearest centre."""
    squares = [((values - centre) ** 2).sum(axis=1) for centre in centres]
    return np.min(squares, axis=0)


def _of_moments(name: str, result: Result, at: int, values: Wide) -> Iterator[Quantity]:
    mean = values.mean(axis=0)
    centred = values - mean
    variance = (centred**2).mean(axis=0)
    yield Quantity(f"{name} mean", result["mean"][at], mean, _mean_tolerance(values))
    spread, rounding = np.sqrt(variance), 16 * EPS * np.abs(values).max(axis=0)
    # sums of squares about a running mean, whose rounding enters once beside the spread, and once squared
    tolerance = 1e-12 * variance + rounding * (spread + rounding)
    yield Quantity(f"{name} variance", result["variance"][at], variance, tolerance)
    has_shape = spread > 1e3 * EPS * np.abs(values).max(axis=0)  # else it is rounding, and may be anything
    safe = np.where(spread > 0, spread, 1)
    for key, power, shift in (("skewness", 3, 0), ("kurtosis", 4, 3)):
        expected = ((centred / safe) ** power).mean(axis=0) - shift
        found = np.where(has_shape, result[key][at], expected)
        # third and fourth powers lose a few digits more; the values go up to the square of the rows
        yield Quantity(f"{name} {key}", found, expected, 1e-7 * (1 + np.abs(expected)))


def _mean_tolerance(values: Wide) -> Wide:
    return 1e-14 * np.abs(values).max(axis=0)  # a sum in float64, whatever the offset


def _kl(result: Result, mu: Wide, logvar: Wide) -> Quantity:
    terms = (mu**2 + np.exp(logvar) - 1 - logvar) / 2
    # sums of terms of both signs in float64
    size = (mu**2 + np.exp(logvar) + 1 + np.abs(logvar)).mean(axis=0)
    return Quantity("kl", result["kl"], terms.mean(axis=0), 1e-6 * size)

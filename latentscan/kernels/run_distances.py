"""How far the clouds of two runs are from one another, for the same images: four distances, each of 0 to 1.

None changes where one cloud is turned, moved about its origin or scaled, but for the radii, which a shift of
the origin changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from latentscan.kernels.intervals import GROUPS, jackknife_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOST = 1e-12  # share of the largest variance below which a direction holds nothing but rounding


class Distance(NamedTuple):
    """A distance of two samples.

    Parameters
    ----------
    value
        The distance, NaN where it is not defined.
    error
        Its standard error over the rows.
    """

    value: float
    error: float


@dataclass(frozen=True)
class Shape:
    """What of a cloud's shape is compared with others: of all rows, then without one group of rows each.

    Groups are every tenth row from the first, from the second and so on.

    Parameters
    ----------
    norms
        Frobenius norms of the scatter, (1 + groups,).
    spectra
        √(λ / Σλ) of the eigenvalues of the covariance, the largest first, (1 + groups, components).
    radii
        L2 norms of the rows over their mean, (row,).
    """

    norms: Floats
    spectra: Floats
    radii: Floats

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Shape:
        """Compute the shape of some rows, (n, component).

        Examples
        --------
        >>> Shape.of(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 0.0]])).spectra[0]
        array([1., 0.])
        """
        centred = _centred(rows)
        scatters = _scatters(centred, centred)
        eigenvalues = np.maximum(np.linalg.eigvalsh(scatters)[:, ::-1], 0.0)
        radii = np.linalg.norm(rows.astype(np.float64), axis=1)
        with np.errstate(invalid="ignore"):  # rows that are all equal, or all 0
            spectra = np.sqrt(eigenvalues / eigenvalues.sum(axis=1, keepdims=True))
            return cls(np.linalg.norm(scatters, axis=(1, 2)), spectra, radii / radii.mean())


def cka_distance(
    first: NDArray[np.floating], second: NDArray[np.floating], shapes: tuple[Shape, Shape]
) -> Distance:
    """Compute 1 − linear CKA of two clouds of the same n images; its error is the jackknife's.

    Kornblith, S., Norouzi, M., Lee, H., Hinton, G. (2019), Similarity of neural network representations
    revisited, table 1.

    Parameters
    ----------
    first, second
        Rows, (n, component), each with components of its own.
    shapes
        Those of both.
    """
    cross = np.linalg.norm(_scatters(_centred(first), _centred(second)), axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 1 - np.minimum(cross**2 / (shapes[0].norms * shapes[1].norms), 1.0)
    return _with_error(found)


def spectrum_distance(first: Shape, second: Shape) -> Distance:
    """Compute ‖√(λ/Σλ) − √(λ'/Σλ')‖ of the eigenvalues of two covariances; its error is the jackknife's.

    That is √2 times the Hellinger distance of the shares of the variance that the axes have, in their order.

    Examples
    --------
    >>> line = Shape.of(np.array([[3.0, 0.0], [-3.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
    >>> disk = Shape.of(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> round(spectrum_distance(line, disk).value, 4)
    0.7654
    """
    width = max(first.spectra.shape[1], second.spectra.shape[1])
    a, b = (np.pad(one.spectra, ((0, 0), (0, width - one.spectra.shape[1]))) for one in (first, second))
    return _with_error(np.linalg.norm(a - b, axis=1))


def radius_distance(first: Shape, second: Shape) -> Distance:
    """Compute the Wasserstein-1 distance of radii, each over their mean; its error is the jackknife's.

    Both have as many rows, so it is the mean difference of the sorted ones. The scale of a latent space is
    arbitrary where nothing but a decoder sees it; the spread about the mean radius is not.
    """

    def of(rows: NDArray[np.bool_]) -> float:
        a, b = (np.sort(one.radii[rows]) for one in (first, second))
        return float(np.abs(a / a.mean() - b / b.mean()).mean())

    group = _group_of(len(first.radii))
    with np.errstate(invalid="ignore"):
        found = [of(group != left_out) for left_out in range(-1, GROUPS) if (group != left_out).any()]
    return _with_error(np.array(found))


@dataclass(frozen=True)
class Maps:
    """Linear maps from the rows of a cloud: fitted on every other row, tried on the rest.

    Parameters
    ----------
    fitted, tried
        Coordinates of the rows along axes that are orthonormal over the fitted rows, (row, axis).
    """

    fitted: Floats
    tried: Floats

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> Maps:
        """Prepare the maps from some rows, (n, component)."""
        fitted = rows[::2].astype(np.float64)
        mean = fitted.mean(axis=0)
        fitted -= mean
        variances, axes = np.linalg.eigh(fitted.T @ fitted)
        held = variances > LOST * max(variances[-1], np.finfo(np.float64).tiny)
        frame = axes[:, held] / np.sqrt(variances[held])
        return cls(fitted @ frame, (rows[1::2] - mean) @ frame)

    def misfit(self, target: NDArray[np.floating]) -> tuple[float, Floats]:
        """Compute 1 − R² of the least-squares map onto a target on the rows that it was not fitted on.

        Parameters
        ----------
        target
            Rows of the same images, (n, component).

        Returns
        -------
        The value, at most 1 but for chance, and how much each of the rows moves it, (row,).
        """
        fitted, tried = target[::2].astype(np.float64), target[1::2].astype(np.float64)
        mean = fitted.mean(axis=0)
        rest = tried - mean - self.tried @ (self.fitted.T @ (fitted - mean))
        own = np.vecdot(tried - mean, tried - mean)
        total = own.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.vecdot(rest, rest).mean() / total
            return float(share), np.asarray((np.vecdot(rest, rest) - share * own) / total)


def map_distance(there: tuple[float, Floats], back: tuple[float, Floats]) -> Distance:
    """Return the mean of 1 − R² of the linear maps both ways, from what `Maps.misfit` returns of each.

    Its error is the delta method's, over the rows that were held out.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((40, 3))
    >>> y = 7 - 2 * x[:, ::-1]
    >>> abs(map_distance(Maps.of(x).misfit(y), Maps.of(y).misfit(x)).value) < 1e-12
    True
    """
    moves = (there[1] + back[1]) / 2
    error = moves.std(ddof=1) / np.sqrt(len(moves)) if len(moves) > 1 else np.nan
    return Distance((there[0] + back[0]) / 2, float(error))


def _centred(rows: NDArray[np.floating]) -> Floats:
    exact = rows.astype(np.float64)
    exact -= exact.mean(axis=0)
    return exact


def _group_of(rows: int) -> NDArray[np.intp]:
    return np.arange(rows) % GROUPS


def _scatters(first: Floats, second: Floats) -> Floats:
    """Return XᵀY about the mean of all centred rows, then of those without each group, (1 + groups, d, e)."""
    count, groups = len(first), min(GROUPS, len(first))
    parts = np.stack([first[g::GROUPS].T @ second[g::GROUPS] for g in range(groups)])
    sums = [np.stack([x[g::GROUPS].sum(axis=0) for g in range(groups)]) for x in (first, second)]
    left = np.array([count - len(first[g::GROUPS]) for g in range(groups)], np.float64)
    whole = parts.sum(axis=0)
    about = np.einsum("gi,gj->gij", *sums) / np.maximum(left, 1.0)[:, np.newaxis, np.newaxis]
    return np.concatenate([whole[np.newaxis], whole - parts - about])


def _with_error(found: Floats) -> Distance:
    """Return the distance of all rows, with the jackknife's error from those without each group."""
    return Distance(float(found[0]), float(jackknife_error(found[1:, np.newaxis])[0]))

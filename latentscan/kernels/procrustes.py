"""Procrustes alignment: the rotation, reflection, scale and shift that align one map with another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Alignment:
    """A similarity transform, points @ rotation * scale + shift.

    Parameters
    ----------
    rotation
        Orthogonal, (axes, axes); with a reflection where its determinant is -1.
    scale
        Gives the moving map the size of the reference. The scale of least squares would shrink a map that
        has little in common with the reference, and one that has nothing to a single point.
    shift
        (axes,).
    disparity
        The squared distances that remain at the scale of least squares, relative to those of the reference
        from its mean: 0 for maps of the same shape, 1 for maps that have nothing in common.
    """

    rotation: NDArray[np.float64]
    scale: float
    shift: NDArray[np.float64]
    disparity: float

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform points as the moving map is transformed, (m, axes).

        Parameters
        ----------
        points
            (m, axes).
        """
        return points.astype(np.float64) @ self.rotation * self.scale + self.shift


def procrustes(reference: NDArray[np.floating], moving: NDArray[np.floating]) -> Alignment:
    """Align one map to another.

    Centre and size become those of the reference; the rotation is that of least squares. Where all points
    of a map coincide, only the means can be aligned: the disparity is 1.

    Schönemann, P. H. (1966), A generalized solution of the orthogonal Procrustes problem, Psychometrika 31;
    with scale and shift: Gower, J. C. (1975), Generalized Procrustes analysis, Psychometrika 40.

    Parameters
    ----------
    reference, moving
        (n, axes); row i of both is the same image.

    Examples
    --------
    >>> reference = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    >>> mirrored = 3 * reference[:, ::-1] + 7
    >>> alignment = procrustes(reference, mirrored)
    >>> np.allclose(alignment.apply(mirrored), reference), round(alignment.scale, 6)
    (True, 0.333333)
    """
    mean, moving_mean = reference.mean(axis=0, dtype=np.float64), moving.mean(axis=0, dtype=np.float64)
    fixed, moved = reference - mean, moving - moving_mean
    left, singular, right = np.linalg.svd(moved.T @ fixed)
    rotation = left @ right
    spread, moving_spread, common = (fixed**2).sum(), (moved**2).sum(), singular.sum()
    aligned = spread > 0 and moving_spread > 0
    scale = float(np.sqrt(spread / moving_spread)) if aligned else 1.0
    disparity = float(1 - common**2 / (spread * moving_spread)) if aligned else 1.0
    shift = mean - scale * (moving_mean @ rotation)
    return Alignment(rotation, scale, shift, min(max(disparity, 0.0), 1.0))


def disparity_without_each(
    reference: NDArray[np.floating], moving: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute what the disparity of two maps would be without each of their points, (n,).

    Without point i, the products of both maps' deviations from their means lose n / (n − 1) times the
    product of the point's own.

    Parameters
    ----------
    reference, moving
        (n, axes); row i of both is the same image.

    Examples
    --------
    >>> reference = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> moving = reference + np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    >>> int(disparity_without_each(reference, moving).argmin())
    3
    """
    weight = len(reference) / (len(reference) - 1)
    fixed = reference - reference.mean(axis=0, dtype=np.float64)
    moved = moving - moving.mean(axis=0, dtype=np.float64)
    products = moved.T @ fixed - weight * moved[:, :, np.newaxis] * fixed[:, np.newaxis]
    common = np.linalg.svd(products, compute_uv=False).sum(axis=1)
    spreads = [(own**2).sum() - weight * np.vecdot(own, own) for own in (fixed, moved)]
    size = spreads[0] * spreads[1]
    disparity = 1 - np.divide(common**2, size, out=np.zeros_like(size), where=size > 0)
    return np.asarray(np.clip(disparity, 0.0, 1.0))

"""Procrustes alignment: the rotation, reflection, scale and shift that lay one map upon another."""

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
        Gives the moving map the size of the reference. The one that is best by least squares would shrink
        a map that has little in common with it, and one that has nothing to a single point.
    shift
        (axes,).
    disparity
        What is left of the squared distances, relative to the reference's own from its mean, at the scale
        that leaves least: 0 for maps of the same shape, 1 for maps that have nothing in common.
    """

    rotation: NDArray[np.float64]
    scale: float
    shift: NDArray[np.float64]
    disparity: float

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Move points (m, axes) as the moving map is moved onto the reference."""
        return points.astype(np.float64) @ self.rotation * self.scale + self.shift


def procrustes(reference: NDArray[np.floating], moving: NDArray[np.floating]) -> Alignment:
    """Align `moving` to `reference`, both (n, axes); row i of both is the same image.

    Centre and size become those of the reference; the rotation is the one that leaves the least squares.

    Where all points of a map coincide, nothing can be aligned but the means: the disparity is 1.

    Schönemann, P. H. (1966), A generalized solution of the orthogonal Procrustes problem, Psychometrika 31;
    with scale and shift: Gower, J. C. (1975), Generalized Procrustes analysis, Psychometrika 40.

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

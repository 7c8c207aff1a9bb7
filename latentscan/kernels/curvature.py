"""The curvature of a reconstruction loss at a point, and the logvar at which a VAE's loss is lowest there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from latentscan.kernels.intervals import jackknife_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Loss = Literal["bce", "mse"]
FLATTEST = 1e-4  # x (1 - x) of a pixel: where it is less, float32 has lost the digits of 1 - x


def curvature(ahead: NDArray[np.floating], behind: NDArray[np.floating], steps: Floats, loss: Loss) -> Floats:
    """Return the Gauss–Newton curvature of a reconstruction loss along a component, (n,).

    The loss is summed over the pixels and averaged over the channels. Its second derivative, without the
    term of the second derivative of the decoder, which vanishes where the reconstruction is right on average
    (Schraudolph 2002, Fast curvature matrix-vector products), is Σ mean (∂x/∂z)² / (x (1 − x)) for the binary
    cross-entropy and 2 Σ mean (∂x/∂z)² for the squared error. Derivatives are central differences.

    Parameters
    ----------
    ahead, behind
        Images in 0..1, decoded a step ahead of a point and behind it, (n, height, width, channels).
    steps
        The length of the step, (n,).
    loss
        ``"bce"`` or ``"mse"``.

    Examples
    --------
    >>> ahead, behind = np.full((1, 2, 2, 1), 0.6), np.full((1, 2, 2, 1), 0.4)
    >>> curvature(ahead, behind, np.array([0.5]), "mse").round(3)
    array([0.32])
    """
    slope = (ahead.astype(np.float64) - behind) / (2 * steps[:, None, None, None])
    squares = slope**2
    if loss == "bce":
        middle = (ahead.astype(np.float64) + behind) / 2
        squares /= np.maximum(middle * (1 - middle), FLATTEST)
    else:
        squares *= 2
    return np.asarray(squares.mean(axis=3).sum(axis=(1, 2)))


def settled_logvar(curvatures: Floats, fact: float, noise: float) -> Floats:
    """Return the logvar at which the loss is lowest, where the decoder's loss has some curvature.

    Of one component, with variance v and noise of the mean square m, the expected loss is about
    ``reconstruction + G m v / 2 + fact (v − ln v) / 2``; its derivative is 0 at v = fact / (G m + fact).
    Rolinek, M., Zietlow, D., Martius, G. (2019), Variational autoencoders pursue PCA directions (by
    accident), section 3.

    Parameters
    ----------
    curvatures
        G, of any shape.
    fact
        The factor on the KL loss, above 0.
    noise
        m: 1 for N(0, 1).

    Examples
    --------
    >>> settled_logvar(np.array([0.0, 1.0]), 1.0, 1.0).round(3)
    array([-0.   , -0.693])
    """
    return np.asarray(-np.log1p(curvatures * (noise / fact)))


@dataclass(frozen=True)
class Figure:
    """A figure, with its 95 % interval by the jackknife over images."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Agreement:
    """How far the logvar of entries is the one that is expected.

    Parameters
    ----------
    correlation
        Over all entries.
    within
        Over the images alone: of what is left of each without the mean of its component.
    slope
        Of the logvar over the expected one, by least squares.
    offset
        Mean difference from the expected one.
    """

    correlation: Figure
    within: Figure
    slope: Figure
    offset: Figure


def agreement(expected: Floats, stored: Floats) -> Agreement:
    """Compare logvars (image, component) with those that are expected.

    Intervals are from leaving out one image after another; those of correlations are symmetric in Fisher's z,
    about its value without the bias that the jackknife finds (Quenouille 1956): of 60 images with a true
    correlation of 0.9, 2.6 % of intervals lie above it, and 4.2 % would without that.
    """
    whole, count = _figures(expected, stored), len(stored)
    without = np.array(
        [_figures(np.delete(expected, at, 0), np.delete(stored, at, 0)) for at in range(count)]
    )
    for z in (0, 1):
        without[:, z] = np.arctanh(np.clip(without[:, z], -1 + 1e-12, 1 - 1e-12))
    errors = jackknife_error(without)
    wide = 1.96 + 2.8 / (count - 1)  # Student's t, of an interval of 95 %
    made = []
    for at, (value, error) in enumerate(zip(whole, errors.tolist(), strict=True)):
        half = wide * error
        if at < 2:
            middle = count * np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
            middle -= (count - 1) * without[:, at].mean()
            made.append(Figure(value, float(np.tanh(middle - half)), float(np.tanh(middle + half))))
        else:
            made.append(Figure(value, value - half, value + half))
    return Agreement(*made)


def _figures(expected: Floats, stored: Floats) -> tuple[float, float, float, float]:
    x, y = expected - expected.mean(), stored - stored.mean()
    u, v = expected - expected.mean(axis=0), stored - stored.mean(axis=0)
    variance = float((x**2).mean())
    slope = float((x * y).mean()) / variance if variance > 0 else np.nan
    return _correlation(x, y), _correlation(u, v), slope, float((stored - expected).mean())


def _correlation(x: Floats, y: Floats) -> float:
    scale = float(np.sqrt((x**2).mean() * (y**2).mean()))
    return float((x * y).mean()) / scale if scale > 0 else np.nan

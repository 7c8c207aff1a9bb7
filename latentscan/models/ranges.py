"""Ranges of pixels: which one a network says it takes, and what speaks against the one that is assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.models.arrays import top

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from latentscan.models.outputs import Head

Range = tuple[float, float]
BYTES: Range = (0.0, 255.0)
UNIT: Range = (0.0, 1.0)
SYMMETRIC: Range = (-1.0, 1.0)
RANGES = (BYTES, UNIT, SYMMETRIC)
SIDE = 64  # of images for a network that takes any
FLAT = 0.02  # images that differ by less than this share of what they have in common
WILD_LOGVAR, WILD_MU = 50.0, 100.0
CLEARLY = 4.0  # times as well


@dataclass(frozen=True)
class PixelRange:
    """What a network says of the pixels that it takes.

    Parameters
    ----------
    value_range
        The range; None where the network does not say.
    reason
        Why.
    """

    value_range: Range | None
    reason: str


def is_bytes(value_range: Range) -> bool:
    """Return whether a range is about 0..255, and not about 0..1 or -1..1."""
    return max(map(abs, value_range)) > 2


def doubt(
    misfit: Callable[[NDArray[np.float32]], float | None],
    heads: tuple[Head, ...],
    rows: Callable[[Range], Mapping[str, NDArray[np.float32]]],
    pixels: NDArray[Any],
    assumed: Range,
) -> str | None:
    """Return why images speak for another range than the one that is assumed; None where they do not.

    Parameters
    ----------
    misfit
        Returns how far images are from those of the training, if the network says it.
    heads
        Which of its outputs are taken.
    rows
        Returns the outputs for the images in a range.
    pixels
        Some images (n, height, width, channels).
    assumed
        The range that is assumed.
    """
    if len(pixels) < 2:
        return None
    try:
        return _doubt(misfit, heads, rows, pixels, assumed)
    except Exception:  # noqa: BLE001 (a layer of someone's own may raise anything)
        return None


def _doubt(
    misfit: Callable[[NDArray[np.float32]], float | None],
    heads: tuple[Head, ...],
    rows: Callable[[Range], Mapping[str, NDArray[np.float32]]],
    pixels: NDArray[Any],
    assumed: Range,
) -> str | None:
    other = UNIT if is_bytes(assumed) else BYTES
    misfits = [misfit(_in_range(pixels, limits)) for limits in (assumed, other)]
    own, its = (np.nan if found is None else found for found in misfits)
    if own > 1 and its * CLEARLY < own:
        return "what its BatchNormalization layers saw in training"
    found, others = rows(assumed), rows(other)
    has_logvar = any(head.array == "logvar" for head in heads)
    if has_logvar and (wild := _wild(found)) and not _wild(others):
        return wild
    point = "mu" if has_logvar else "z"
    if _relative_spread(found[point]) < FLAT < FLAT * CLEARLY < _relative_spread(others[point]):
        return f"{point} that hardly differs between images"
    return None


def _in_range(pixels: NDArray[Any], limits: Range) -> NDArray[np.float32]:
    return (limits[0] + pixels * ((limits[1] - limits[0]) / top(pixels.dtype))).astype(np.float32)


def _wild(found: Mapping[str, NDArray[np.float32]]) -> str:
    """Return what no trained encoder gives for images like its own, in words; nothing where all is well."""
    logvar, mu = float(np.abs(found["logvar"]).max()), float(np.sqrt((found["mu"] ** 2).mean()))
    if not logvar <= WILD_LOGVAR:  # NaN too
        return f"logvar up to {logvar:.3g}"
    return f"mu of the size {mu:.3g}" if mu > WILD_MU else ""


def _relative_spread(points: NDArray[np.float32]) -> float:
    values = points.astype(np.float64)
    return float(np.sqrt(values.var(axis=0).mean()) / max(1e-300, np.sqrt((values**2).mean())))

"""Whether an inertia curve has an elbow: a hint, and an honest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGREEMENT = 0.1  # of the range of k, or a step of it: within this the knees of all seeds lie where they agree
# Gaussian, uniform, curved and heavy-tailed data bent 1.3 times as much as the reference at most; 12 and 40
# clusters apart from one another, in 8 to 64 components, 1.9 to 3.8 times.
MARGIN = 1.5
LEAST = 0.005  # of the inertia of one cluster: over a short range of k, chance makes bends below it


@dataclass(frozen=True)
class Elbow:
    """What the curves of several seeds say, alone and beside the curve of Gaussian data.

    Parameters
    ----------
    knees
        The k at the knee of each seed's curve, (seed,); 0 where it has none.
    bends
        How far below its chord each curve is at its knee, as a share of the inertia of one cluster, (seed,).
    reference_bend
        The same of the curve of Gaussian data; None where there is no such curve.
    agree
        Whether the knees of the seeds agree; None where there are fewer than two, or no knees.
    """

    knees: NDArray[np.int64]
    bends: NDArray[np.float64]
    reference_bend: float | None
    agree: bool | None

    @property
    def bends_more(self) -> bool | None:
        """Whether the curves bend clearly more than the one of Gaussian data; None where that is unknown."""
        if self.reference_bend is None or not self.knees.all():
            return None
        return bool(np.median(self.bends) > max(MARGIN * self.reference_bend, LEAST))

    @property
    def verdict(self) -> str:
        """Whether the curves have an elbow: ``clear``, ``none`` or ``unknown``."""
        if False in {self.agree, self.bends_more}:
            return "none"
        return "clear" if self.agree and self.bends_more else "unknown"


def knee(k: NDArray[np.int64], inertia: NDArray[np.float64]) -> tuple[int, float]:
    """Find the k at which a curve (k,) lies farthest below the chord between its ends, and how far.

    A curve that nowhere lies below it has no knee: (0, 0.0).

    Satopää, V., Albrecht, J., Irwin, D., Raghavan, B. (2011), Finding a "kneedle" in a haystack: detecting
    knee points in system behavior, section III; the scale of the axes does not move the knee.

    Examples
    --------
    >>> knee(np.array([1, 2, 3, 4, 5]), np.array([10.0, 2.0, 1.5, 1.0, 0.0]))
    (2, 5.5)
    """
    chord = np.interp(k, k[[0, -1]], inertia[[0, -1]])
    below = chord - inertia
    best = int(below.argmax())
    return (int(k[best]), float(below[best])) if below[best] > 0 else (0, 0.0)


def elbow(k: NDArray[np.int64], shares: NDArray[np.float64], reference: NDArray[np.float64] | None) -> Elbow:
    """Judge the curves of several seeds beside the one of Gaussian data.

    Parameters
    ----------
    k
        Numbers of clusters, (k,), ascending.
    shares
        Inertia as a share of that of one cluster, (k, seed).
    reference
        The same of Gaussian data, (k,); None where it is not known.
    """
    found = [knee(k, curve) for curve in shares.T]
    knees = np.array([at for at, _ in found], np.int64)
    agree = None
    if len(knees) > 1 and knees.all():
        agree = bool(np.ptp(knees) <= max(AGREEMENT * np.ptp(k), np.diff(k).max()))
    bend = None if reference is None else knee(k, reference)[1]
    return Elbow(knees, np.array([depth for _, depth in found]), bend, agree)

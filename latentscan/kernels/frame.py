"""Where a cloud lies and how large it is: its rows moved near the origin and scaled to about 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 56  # squares of 2^56, summed over millions of components, are far from overflow in float32


@dataclass(frozen=True)
class Frame:
    """A shift and a power of two, so that float32 products of rows neither underflow nor lose digits.

    A power of two changes no digit: results in the frame, scaled back in float64, are those of the rows.

    Parameters
    ----------
    shift
        Subtracted from rows, (component,).
    exponent
        Rows are divided by 2 to this power.
    """

    shift: NDArray[np.float32]
    exponent: int = 0

    @classmethod
    def around(cls, shift: NDArray[np.float32], typical: float, largest: float) -> Frame:
        """Return the frame in which a typical component is about 1, unless the largest gets out of hand.

        Parameters
        ----------
        shift
            About the middle of the rows, (component,).
        typical
            The size of a typical component of a row less the shift; 0 where most rows are the shift itself.
        largest
            The distance of the farthest row from the shift.

        Examples
        --------
        >>> Frame.around(np.zeros(2, np.float32), 1e-24, 5e-24).exponent
        -79
        """
        _, exponent = np.frexp(typical or largest)
        _, top = np.frexp(largest)
        return cls(shift, max(int(exponent), int(top) - LARGEST))

    def inside(self, x: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return rows (n, component) in the frame, in `out` if it is given.

        Examples
        --------
        >>> Frame(np.array([8.0], np.float32), 2).inside(np.array([[12.0]], np.float32))
        array([[1.]], dtype=float32)
        """
        moved = np.subtract(x, self.shift, out=out)
        half = -self.exponent // 2  # the whole factor may be too large for float32
        for power in (half, -self.exponent - half):
            moved *= np.float32(2.0**power)
        return moved

    def outside(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return rows (n, component) of the frame where they were, in float64."""
        return np.ldexp(x.astype(np.float64), self.exponent) + self.shift

    def exact_inside(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return rows (n, component) in the frame, in float64."""
        return np.ldexp(x.astype(np.float64) - self.shift, -self.exponent)

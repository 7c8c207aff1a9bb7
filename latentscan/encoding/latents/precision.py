"""Numbers of any kind as float32, and what is lost by it beyond rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Loss:
    """How many numbers float32 does not hold: too large ones, ones that become 0, whole ones that change."""

    overflows: int = 0
    underflows: int = 0
    changed: int = 0

    def __add__(self, other: Loss) -> Loss:
        return Loss(
            self.overflows + other.overflows,
            self.underflows + other.underflows,
            self.changed + other.changed,
        )

    def __bool__(self) -> bool:
        return bool(self.overflows or self.underflows or self.changed)

    @property
    def words(self) -> str:
        """It in a line."""
        parts = (
            (self.overflows, "too large, whose rows are rejected"),
            (self.underflows, "too small, which become 0"),
            (self.changed, "whole beyond 16,777,216, which are rounded"),
        )
        return "; ".join(f"{count:,} {what}" for count, what in parts if count)


def as_float32(values: NDArray[Any]) -> tuple[NDArray[np.float32], Loss]:
    """Return numbers as float32 rows, (image, component), and what is lost by it.

    Examples
    --------
    >>> as_float32(np.array([[1.5, 1e300, 1e-300]]))[1]
    Loss(overflows=1, underflows=1, changed=0)
    """
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = rows.astype(np.float32)
    if rows.dtype.kind in "iu":
        return found, Loss(changed=int(np.count_nonzero(found.astype(np.float64) != rows)))
    if rows.dtype.itemsize <= 4:
        return found, Loss()
    overflows = np.count_nonzero(np.isinf(found) & np.isfinite(rows))
    underflows = np.count_nonzero((found == 0) & (rows != 0))
    return found, Loss(int(overflows), int(underflows))

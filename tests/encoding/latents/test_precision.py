"""Numbers as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from latentscan.encoding.latents.precision import Loss, as_float32


@pytest.mark.parametrize(
    ("values", "loss"),
    [
        (np.array([[0.1, 1e-40, 3e38]]), Loss()),
        (np.array([[1e39, -1e300, np.inf, np.nan]]), Loss(overflows=2)),
        (np.array([[1e-50, 0.0]]), Loss(underflows=1)),
        (np.array([[2**24, 2**24 + 1, -(2**25) - 1]]), Loss(changed=2)),
        (np.array([[65504, 1]], np.float16), Loss()),
        (np.array([[255]], np.uint8), Loss()),
        (np.array([[2**63 + 2**62]], np.uint64), Loss()),
    ],
)
def test_what_is_lost_beyond_rounding_is_counted(values: Any, loss: Loss) -> None:
    found, lost = as_float32(values)
    assert found.dtype == np.float32
    assert lost == loss
    assert bool(lost) == (lost.words != "")


def test_losses_add_up_and_are_said_in_a_line() -> None:
    assert (Loss(1, 2, 3) + Loss(10, 20, 3000)).words == (
        "11 too large, whose rows are rejected; 22 too small, which become 0; "
        "3,003 whole beyond 16,777,216, which are rounded"
    )

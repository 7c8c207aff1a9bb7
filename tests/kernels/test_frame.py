from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.frame import Frame

ROWS = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)


@given(st.integers(-145, 50), st.integers(-4, 4))
def test_into_a_frame_and_out_again_changes_nothing(exponent: int, off: int) -> None:
    x = np.ldexp(ROWS, exponent)
    frame = Frame(x[0], exponent + off)
    inside = frame.inside(x)
    np.testing.assert_array_equal(frame.outside(inside).astype(np.float32), (x - x[0]) + x[0])
    np.testing.assert_allclose(inside, frame.exact_inside(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("typical", "largest", "exponent"),
    [
        (1.0, 8.0, 1),
        (1e-24, 1e-23, -79),
        (1e-42, 1e-42, -139),
        (0.0, 4.0, 3),
        (1e-20, 1e16, -2),
        (0.0, 0.0, 0),
    ],
)
def test_a_typical_row_is_about_1_unless_the_farthest_would_overflow(
    typical: float, largest: float, exponent: int
) -> None:
    frame = Frame.around(np.zeros(3, np.float32), typical, largest)
    assert frame.exponent == exponent
    scaled = frame.inside(np.full((1, 3), largest, np.float32))
    assert np.isfinite(np.square(scaled) * 1e4).all()
    assert largest == 0 or np.square(scaled).min() > 0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.analyses.kmeans.elbow import elbow, knee


def test_what_one_seed_or_one_k_can_say() -> None:
    k = np.arange(2, 20)
    curve = np.where(k < 8, 1 - k / 10, 0.2 - k / 200)
    reference = 1 - k / 100 - (k - 2) * (19 - k) / 5000
    assert elbow(k, curve[:, None], reference).verdict == "unknown"
    assert elbow(k, np.stack([curve, curve], axis=1), None).verdict == "unknown"
    assert elbow(k, np.stack([curve, curve], axis=1), reference).verdict == "clear"
    assert elbow(k, np.stack([curve, np.roll(curve, 5)], axis=1), reference).verdict == "none"
    chance = 0.3 - k / 1000 - 1e-3 * (k == 9)
    assert elbow(k, np.stack([chance, chance], axis=1), 0.3 - k / 1000).verdict == "none"


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(3, 16))
def test_the_scale_of_a_curve_does_not_move_its_knee(scale: float, shift: float, at: int) -> None:
    k = np.arange(2, 20)
    curve = np.asarray(np.where(k < at, 10.0 - k, 10.0 - at - (k - at) / 100), np.float64)
    expected, depth = knee(k, curve)
    found, deep = knee(k, np.asarray(scale * curve + shift, np.float64))
    assert expected == found == at
    assert deep == pytest.approx(scale * depth, rel=1e-6)


def test_a_straight_curve_and_one_above_its_chord_have_no_knee() -> None:
    k = np.arange(2, 20)
    x = np.linspace(2.0, 19.0, 18)
    assert knee(k, 40.0 - 2 * x) == (0, 0.0)
    assert knee(k, -((x - 2.0) ** 2)) == (0, 0.0)
    assert knee(k[:1], np.array([3.0])) == (0, 0.0)

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.kernels.noise_fit import READINGS, NoiseFit, noise_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
LOGVAR = (-3 + RNG.standard_normal((4000, 5))).astype(np.float32)
MU, NOISE = RNG.standard_normal((2, 4000, 5)).astype(np.float32)
Z = MU + np.exp(LOGVAR / 2) * NOISE


def check(found: NoiseFit, reading: str) -> None:
    assert found.variances[READINGS.index(reading)] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("stored", "reading"),
    [
        (LOGVAR, "log variance"),
        (LOGVAR / 2, "log standard deviation"),
        (-LOGVAR, "negative log variance"),
        (np.exp(LOGVAR), "variance"),
        (np.exp(LOGVAR / 2), "standard deviation"),
    ],
)
def test_the_reading_that_fits_has_the_variance_of_the_noise(
    stored: NDArray[np.float32], reading: str
) -> None:
    check(noise_fit(MU, stored, Z), reading)


def test_any_chunking_sums_the_same() -> None:
    whole = noise_fit(MU, LOGVAR, Z)
    pieces = zip(*(np.array_split(x, 7) for x in (MU, LOGVAR, Z)), strict=True)
    found = reduce(NoiseFit.merge, [noise_fit(*piece) for piece in pieces])
    assert found.count == whole.count == 20_000
    np.testing.assert_allclose(found.variances, whole.variances, rtol=1e-12)
    assert whole.variance_error == pytest.approx(np.sqrt(2 / 20_000), rel=0.1)
    assert abs(whole.mean) < 4 / np.sqrt(20_000)


def test_noise_that_drowns_in_the_rounding_of_z_is_left_out() -> None:
    logvar = LOGVAR.copy()
    logvar[:, 0] = -40
    found = noise_fit(MU, logvar, (MU + np.exp(logvar / 2) * NOISE).astype(np.float32))
    assert found.count < 16_100
    check(found, "log variance")
    nothing = noise_fit(MU[:0], logvar[:0], Z[:0])
    assert nothing.count == 0
    assert np.isnan(nothing.variances).all()

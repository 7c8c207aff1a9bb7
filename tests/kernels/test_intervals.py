from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.histogram import relative_histogram
from latentscan.kernels.intervals import jackknife_error, peak_interval, quantile_interval


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = np.random.default_rng(0).standard_normal((20, 500))
    without = (x.sum() - x.sum(axis=1)) / (x.size - x.shape[1])
    assert jackknife_error(without[:, None])[0] == pytest.approx(1 / np.sqrt(x.size), rel=0.4)
    assert np.isnan(jackknife_error(without[:1, None])).all()


def test_intervals_of_quantiles_hold_the_true_ones_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.05, 0.5, 0.95])
    true = -np.log1p(-shares)
    held = np.zeros(3)
    for _ in range(300):
        low, high = quantile_interval(relative_histogram(rng.exponential(size=800)), shares)
        held += (low <= true) & (true <= high)
    np.testing.assert_allclose(held / 300, 0.95, atol=0.045)


def test_the_interval_of_a_peak_holds_the_fullest_bins() -> None:
    counts = np.random.default_rng(2).poisson(1000 * np.exp(-((np.arange(60) - 30) ** 2) / 400))
    low, high = peak_interval(counts)
    assert low <= counts.argmax() <= high
    assert 24 <= low <= 30 <= high <= 36

from __future__ import annotations

import numpy as np
import pytest

from latentscan.kernels.gaussian_kl import gaussian_kl


def of(mean: np.ndarray, covariance: np.ndarray, count: int = 1000) -> tuple[float, float, float, float]:
    eigenvalues, axes = np.linalg.eigh(covariance)
    return gaussian_kl(mean, eigenvalues, axes.T, count)


def test_it_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    root, mean = rng.standard_normal((4, 4)), rng.standard_normal(4)
    covariance = root @ root.T
    total, marginals, correlation, _ = of(mean, covariance)
    expected = (np.trace(covariance) + mean @ mean - 4 - np.linalg.slogdet(covariance)[1]) / 2
    assert total == pytest.approx(expected)
    variances = covariance.diagonal()
    assert marginals == pytest.approx(((variances + mean**2 - 1 - np.log(variances)) / 2).sum())
    assert correlation == pytest.approx(
        -np.linalg.slogdet(covariance / np.sqrt(np.outer(variances, variances)))[1] / 2
    )


def test_a_sample_of_the_prior_has_the_floor() -> None:
    rng = np.random.default_rng(1)
    found = [of(z.mean(axis=0), np.cov(z.T), 500) for z in rng.standard_normal((40, 500, 6))]
    totals = [one[0] for one in found]
    assert np.mean(totals) == pytest.approx(found[0][3], rel=0.1)


def test_a_cloud_without_volume_has_none() -> None:
    assert np.isnan(of(np.zeros(2), np.diag([1.0, 0.0]))[0])

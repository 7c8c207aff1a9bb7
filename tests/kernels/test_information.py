from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from latentscan.kernels.information import Anchors, RatePartial, information, rate_partial
from latentscan.kernels.reduction import LatentBlock


def latents(images: int, components: int, spread: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Posteriors with standard deviation `spread` about mu ~ N(0, 1 − spread²), so that z ~ N(0, 1)."""
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal((images, components)) * np.sqrt(1 - spread**2)
    logvar = np.full_like(mu, 2 * np.log(spread))
    z = mu + spread * rng.standard_normal(mu.shape)
    return {name: array.astype(np.float32) for name, array in (("mu", mu), ("logvar", logvar), ("z", z))}


def rate(arrays: dict[str, np.ndarray], anchors: Anchors, rows: int) -> RatePartial:
    found = None
    for start in range(0, len(arrays["mu"]), rows):
        part = {name: array[start : start + rows] for name, array in arrays.items()}
        block = LatentBlock(np.arange(start, start + len(part["mu"])), part)
        one = rate_partial(block, anchors)
        found = one if found is None else found.merge(one)
    assert found is not None
    return found


def anchors_of(arrays: dict[str, np.ndarray], images: np.ndarray) -> Anchors:
    return Anchors.of(images, *(arrays[name][images] for name in ("z", "mu", "logvar")))


@pytest.mark.parametrize("rows", [50, 7])
def test_densities_are_those_of_scipy(rows: int) -> None:
    arrays = latents(50, 3, 0.4)
    images = np.array([3, 30, 17])
    anchors = anchors_of(arrays, images)
    found = information(anchors, rate(arrays, anchors, rows))
    mu, sigma = arrays["mu"].astype(float), np.exp(arrays["logvar"].astype(float) / 2)
    for number, image in enumerate(images):
        logs = norm.logpdf(arrays["z"][image].astype(float), mu, sigma).sum(axis=1)
        assert found[number] == pytest.approx(logs[image] - logsumexp(logs) + np.log(50), abs=1e-6)


def test_the_information_of_a_gaussian_channel_is_shannons() -> None:
    """½ ln(1 / spread²) a component, and z of all images is N(0, I): no distance from the prior."""
    arrays = latents(20_000, 2, 0.6)
    anchors = anchors_of(arrays, np.arange(0, 20_000, 40))
    partial = rate(arrays, anchors, 4096)
    known = information(anchors, partial)
    error = known.std() / np.sqrt(len(known))
    assert abs(known.mean() - 2 * np.log(1 / 0.6)) < 3 * error
    kl = partial.kl.mean.sum()
    assert kl == pytest.approx(2 * np.log(1 / 0.6), rel=0.02)


def test_narrow_posteriors_tell_every_image_apart() -> None:
    arrays = latents(300, 5, 1e-6)
    anchors = anchors_of(arrays, np.arange(10))
    np.testing.assert_allclose(information(anchors, rate(arrays, anchors, 100)), np.log(300), rtol=1e-12)


def test_collapsed_posteriors_tell_nothing() -> None:
    arrays = latents(300, 5, 1 - 1e-12)
    anchors = anchors_of(arrays, np.arange(40))
    partial = rate(arrays, anchors, 100)
    np.testing.assert_allclose(information(anchors, partial), 0, atol=1e-4)
    assert partial.kl.mean.sum() == pytest.approx(0, abs=1e-6)

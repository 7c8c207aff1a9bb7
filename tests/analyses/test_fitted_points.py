from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.analyses.fitted_points import fitted_points
from latentscan.errors import StoreError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path


def test_points_have_the_mean_and_the_covariance_of_z(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((900, 5)) @ rng.standard_normal((5, 5)) + 10 * rng.standard_normal(5)
    store = build_store(tmp_path / "z.zarr", arrays={"mu": 0 * z, "z": z}, chunk_rows=90)
    expected = np.cov(z.T, bias=True)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    full = fitted_points(store, 200_000, seed=3)
    np.testing.assert_allclose(full.mean(axis=0), z.mean(axis=0), atol=0.02)
    assert np.abs((np.cov(full.T) - expected) / scale).max() < 0.02
    diagonal = np.cov(fitted_points(store, 200_000, seed=3, covariance="diagonal").T)
    assert np.abs((diagonal - np.diag(expected.diagonal())) / scale).max() < 0.02


def test_points_are_the_same_whoever_reads_z(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 3)) * [1, 5, 0.1] + [10, 0, -3]
    store = build_store(tmp_path / "z.zarr", arrays={"mu": 0 * z, "z": z}, chunk_rows=90)
    points = fitted_points(store, 20_000, seed=3)
    assert points.shape == (20_000, 3)
    np.testing.assert_allclose(points.mean(axis=0), z.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(points.std(axis=0), z.std(axis=0), rtol=0.03)
    for threads in (1, 2):
        same = fitted_points(store, 20_000, 3, Execution(ThreadedExecutor(threads)))
        assert same.tobytes() == points.tobytes()
    assert fitted_points(store, 50, seed=4).tobytes() != points[:50].tobytes()
    assert not (tmp_path / "z.zarr" / "analyses").exists()


def test_no_good_image(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="all 5 images were rejected"):
        fitted_points(build_store(tmp_path / "z.zarr", images=5, rejected=range(5)), 10, seed=0)

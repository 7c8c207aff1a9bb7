from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from latentscan.analyses.pca import PcaParameters, bin_edges, pca_reduction
from latentscan.errors import ParameterError, StoreError
from latentscan.kernels.histogram import relative_histogram
from latentscan.kernels.reduction import Counts, LatentBlock
from latentscan.kernels.transport import cumulative
from latentscan.scan.snapshot import StoreFacts
from latentscan.store.schema import Schema
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

REJECTED = 17


def cloud(rows: int = 700, components: int = 9) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    spread = rng.standard_normal((components, components)) * 0.7 ** np.arange(components)
    return (rng.standard_normal((rows, components)) @ spread.T + rng.standard_normal(components)).astype(
        np.float32
    )


def store_of(folder: Path, z: NDArray[Any], chunk_rows: int = 100) -> LatentStore:
    return build_store(folder / f"z-{chunk_rows}.zarr", arrays={"z": z}, chunk_rows=chunk_rows)


def with_a_rejected_row() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A cloud one row of which is NaN, and the good rows."""
    z = cloud()
    z[REJECTED, 2] = np.nan
    return z, np.delete(z, REJECTED, axis=0).astype(np.float64)


def test_axes_are_those_of_numpy_and_of_scikit_learn(tmp_path: Path) -> None:
    z, good = with_a_rejected_row()
    found = analyse(store_of(tmp_path, z), "pca")
    eigenvalues, vectors = np.linalg.eigh(np.cov(good, rowvar=False, bias=True))
    expected = PCA(svd_solver="full").fit(good)
    np.testing.assert_allclose(found["mean"], good.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found["eigenvalue"], eigenvalues[::-1], rtol=1e-11)
    np.testing.assert_allclose(found["explained"], expected.explained_variance_ratio_.cumsum(), atol=1e-6)
    for axis, mine, theirs in zip(found["axes"], vectors.T[::-1], expected.components_, strict=True):
        assert axis[np.abs(axis).argmax()] > 0
        assert abs(axis @ mine) == pytest.approx(1, abs=1e-6)
        assert abs(axis @ theirs) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found["axes"] @ found["axes"].T, np.eye(9), atol=1e-12)
    attributes = found.attributes
    assert (attributes["images"], attributes["rejected"], attributes["components"]) == (700, 1, 9)
    assert attributes["mean_distance"] == pytest.approx(np.linalg.norm(good.mean(axis=0)))
    ratio = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert attributes["participation_ratio"] == pytest.approx(ratio)
    shares = expected.explained_variance_ratio_.cumsum()
    assert attributes["axes_for_shares"] == [int((shares < share).sum()) + 1 for share in (0.9, 0.95, 0.99)]


@pytest.mark.parametrize("chunk_rows", [7, 64, 5000])
def test_blocks_do_not_change_the_cloud(tmp_path: Path, chunk_rows: int) -> None:
    expected = analyse(store_of(tmp_path, cloud(), 100), "pca")
    found = analyse(store_of(tmp_path, cloud(), chunk_rows), "pca")
    np.testing.assert_allclose(found["eigenvalue"], expected["eigenvalue"], rtol=1e-11)
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=0, atol=1e-14)
    np.testing.assert_allclose(found["wasserstein_error"], expected["wasserstein_error"], rtol=1e-6)
    assert found["radius_histogram"].tolist() == expected["radius_histogram"].tolist()
    for name in ("radius_mean", "radius_std", "square_mean", "square_std"):
        assert found.attributes[name] == pytest.approx(expected.attributes[name], rel=1e-9)


def test_a_gaussian_cloud_has_the_radii_of_its_law(tmp_path: Path) -> None:
    z = cloud(20_000)
    found = analyse(store_of(tmp_path, z, 4096), "pca")
    radii = np.linalg.norm(z.astype(np.float64), axis=1)
    edges, counts = found["radius_edge"], found["radius_histogram"]
    assert counts.tolist() == np.histogram(radii, edges)[0].tolist()
    laws = dict(zip(found["law"].tolist(), found["radius_law"], strict=True))
    below = np.concatenate([[0], laws["full"].cumsum()])
    assert np.abs(below - cumulative(counts)).max() < 1.95 / np.sqrt(20_000)  # Kolmogorov, p = 0.001
    emd = dict(zip(found["law"].tolist(), found["wasserstein_distance"] / radii.std(), strict=True))
    assert emd["full"] < 0.02
    assert emd["full"] < 0.2 * emd["diagonal"]
    np.testing.assert_allclose(found["radius_law"].sum(axis=1), 1)
    squares = radii**2
    assert found.attributes["square_std"] == pytest.approx(squares.std(), rel=1e-6)
    s, m = np.cov(z.astype(np.float64), rowvar=False, bias=True), z.mean(axis=0, dtype=np.float64)
    predicted = np.sqrt(2 * np.trace(s @ s) + 4 * m @ s @ m)
    assert found["law_square_std"][0] == pytest.approx(predicted, rel=1e-6)
    assert found.attributes["square_mean"] == pytest.approx(np.sum(m**2) + np.trace(s))


def test_each_law_knows_less_than_the_one_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scales = 3.0 ** -np.arange(12)
    uneven = rng.standard_normal((5000, 12)) * scales
    laws = analyse(store_of(tmp_path, uneven), "pca")
    full, diagonal, isotropic = laws["wasserstein_distance"] / laws.attributes["radius_std"]
    assert max(full, diagonal) < 0.1 < isotropic


@pytest.mark.parametrize(
    "z",
    [
        np.ones((1, 3)),
        np.zeros((5, 3)),
        np.full((200, 3), 7.7),
        np.arange(7.0)[:, None],
        cloud(5, 40),
        np.ones((1, 1)),
        cloud(50) * 1e-15,
        cloud(50) * 1e22,
        np.r_[cloud(50), [np.full(9, 1e12)]],
    ],
    ids=["one image", "zeros", "equal", "one component", "few", "one number", "small", "large", "outlier"],
)
def test_a_cloud_of_any_shape_has_axes(tmp_path: Path, z: NDArray[Any]) -> None:
    found = analyse(store_of(tmp_path, z), "pca")
    for name, variable in found.variables.items():
        if variable.values.dtype.kind in "fc" and (name != "wasserstein_error" or len(z) > 1):
            assert np.isfinite(variable.values).all(), name
    assert (found["eigenvalue"] >= 0).all()
    exact = z.astype(np.float32).astype(np.float64)
    largest = np.linalg.norm(np.cov(exact, rowvar=False, bias=True)) if len(z) > 1 else 0.0
    assert found["eigenvalue"][0] <= largest * (1 + 1e-6)
    assert found["eigenvalue"].sum() == pytest.approx(exact.var(axis=0).sum(), rel=1e-6, abs=1e-24)
    assert found["radius_histogram"].sum() == len(z)
    assert found["radius_law"].sum() == pytest.approx(3)


def test_points_are_mu_unless_z_is_asked_for(tmp_path: Path) -> None:
    arrays = {"mu": cloud(), "z": cloud() + np.float32(1)}
    store = build_store(tmp_path / "a.zarr", arrays=arrays, chunk_rows=64)
    mu, z = analyse(store, "pca"), analyse(store, "pca", array="z")
    np.testing.assert_allclose(z["mean"] - mu["mean"], 1, atol=1e-6)
    with pytest.raises(ParameterError, match="holds z only") as refused:
        analyse(store_of(tmp_path, cloud()), "pca", array="mu")
    assert (refused.value.field, refused.value.value) == ("array", "mu")


def test_no_good_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="all 3 images were rejected"):
        analyse(store_of(tmp_path, np.full((3, 2), np.nan)), "pca")


@pytest.mark.parametrize("spread", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("outlier", [1, 1e7])
def test_bins_are_few_and_hold_every_value(spread: float, outlier: float) -> None:
    values = np.random.default_rng(0).gamma(3, spread, 5000)
    values[7] *= outlier
    radii = relative_histogram(values)
    edges = bin_edges(radii, 0.0, 30 * spread)
    counts = radii.counts_in(edges)
    assert len(edges) <= 255
    assert edges[0] <= 0
    assert edges[-1] >= 30 * spread
    assert edges[1] - edges[0] < spread
    assert (counts[0], counts[-1]) == (0, 0)
    assert counts[1:-1].tolist() == np.histogram(values, edges)[0].tolist()


def test_small_eigenvalues_are_no_noise_whatever_the_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    z = ((rng.standard_normal((4000, 8)) * np.logspace(0, -4.5, 8)) @ turn + 5).astype(np.float32)
    exact = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    expected = np.linalg.svd(exact, compute_uv=False) ** 2 / len(z)
    found = [analyse(store_of(tmp_path, z, rows), "pca") for rows in (500, 4000)]
    for result in found:
        np.testing.assert_allclose(result["eigenvalue"], expected, rtol=1e-6)
        assert result.attributes["eigenvalue_floor"] < expected[-1]
    assert np.abs(found[0]["mean"] - found[1]["mean"]).max() < 1e-14


def test_a_row_far_out_leaves_the_other_axes_as_they_are(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    z[17] = 1e6 / 4
    exact = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    expected = np.linalg.svd(exact, compute_uv=False) ** 2 / len(z)
    np.testing.assert_allclose(analyse(store_of(tmp_path, z), "pca")["eigenvalue"], expected, rtol=1e-6)


def test_standard_errors_are_as_large_as_figures_differ_between_samples() -> None:
    rng = np.random.default_rng(5)
    scales = np.r_[2.0, 1.0, 1.0, 0.5, 0.2]
    reduction = pca_reduction(StoreFacts(Schema(1500, 5, ("z",))), PcaParameters())
    results = []
    for _ in range(24):
        z = rng.standard_normal((1500, 5)) * scales * (1 + (rng.random((1500, 1)) < 0.1))
        found = reduction.chunk(LatentBlock(np.arange(1500), {"z": z.astype(np.float32)}))
        results.append(reduction.finalize(found, Counts(1500, 0)))
    ratios = np.array([result.attributes["participation_ratio"] for result in results])
    errors = np.array([result.attributes["participation_ratio_error"] for result in results])
    assert 0.65 < np.sqrt(np.mean(errors**2)) / ratios.std(ddof=1) < 1.5
    distances = np.array([result["wasserstein_distance"] for result in results])
    errors = np.array([result["wasserstein_error"] for result in results])
    relative = np.sqrt(np.mean(errors**2, axis=0)) / distances.std(axis=0, ddof=1)
    assert (relative > 0.65).all()
    assert (relative < 1.5).all()

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.decomposition import PCA

from latentscan.analyses.projection import Projection
from latentscan.errors import UsageError
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

REJECTED = 17


def cloud(rows: int = 700, components: int = 9) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    spread = rng.standard_normal((components, components)) * 0.7 ** np.arange(components)
    z = rng.standard_normal((rows, components)) @ spread.T + rng.standard_normal(components)
    z[REJECTED, 2] = np.nan
    return z.astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    location = tmp_path_factory.mktemp("projection") / "z.zarr"
    return build_store(location, arrays={"z": cloud()}, chunk_rows=100)


@pytest.fixture(scope="module")
def found(store: LatentStore) -> Result:
    return analyse(store, "pca")


def test_rows_are_projected_when_they_are_asked_for(store: LatentStore, found: Result) -> None:
    good = np.delete(cloud(), REJECTED, axis=0).astype(np.float64)
    projection = Projection(store, found)
    assert projection.shape == (700, 9)
    assert len(projection) == 700
    whole = projection[:]
    assert np.isnan(whole[REJECTED]).all()
    projected = np.delete(whole, REJECTED, axis=0)
    largest = found["eigenvalue"][0]
    np.testing.assert_allclose(projected.var(axis=0), found["eigenvalue"], rtol=0, atol=1e-6 * largest)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-6)
    expected = PCA(svd_solver="full").fit_transform(good)
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(projection[[5, 600, 5]], whole[[5, 600, 5]], rtol=1e-12)
    np.testing.assert_allclose(projection[-1], whole[-1], rtol=1e-12)
    np.testing.assert_allclose(Projection(store, found, first=2)[10:300:7], whole[10:300:7, :2], rtol=1e-12)


def test_axes_of_another_space_are_refused(tmp_path: Path, store: LatentStore, found: Result) -> None:
    other = build_store(tmp_path / "z.zarr", arrays={"z": cloud(components=4)}, chunk_rows=50)
    with pytest.raises(UsageError, match="has 4 components, the principal axes have 9"):
        Projection(other, found)
    for first in (0, 10):
        with pytest.raises(UsageError, match=f"first is {first}; expected 1 to 9"):
            Projection(store, found, first=first)

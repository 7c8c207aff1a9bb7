from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.analyses.labels.walk import FARTHEST, MEAN, walk_along
from latentscan.errors import ParameterError
from latentscan.execution.context import Execution
from tests.analyses.labels.planted import along, store_of
from tests.builders import analyse

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.analyses.labels.walk import Walk
    from latentscan.store.reader import LatentStore


def walk(store: LatentStore, name: str, **given: Any) -> Walk:
    settings: dict[str, Any] = {"steps": 5, "walks": 3, "seed": 0, "results": None, **given}
    return walk_along(store, name, **settings, execution=Execution())


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    z, classes = along(3000, 4, 3.0)
    rows = np.arange(len(z))
    known = {"Smiling": classes, "Male": np.roll(classes, 1), "rare": np.where(rows < 3, 1, -1)}
    return store_of(tmp_path / "z.zarr", z, binary=known)


def test_a_walk_goes_from_one_class_through_the_image_to_the_other(store: LatentStore) -> None:
    found = walk(store, "Smiling")
    (cached,) = (one for one in store.results() if one.analysis == "labels")
    assert cached.attributes["parameters"]["clusters"] == 0
    result = analyse(store, "labels", clusters=0, cached_only=True)
    direction, spread = (result[name][0].astype(np.float64) for name in ("direction", "spread"))
    scores = (found.points - found.points[:, 2:3]) @ direction / spread
    np.testing.assert_allclose(scores, np.tile(found.offsets, (3, 1)), atol=1e-4)
    assert found.offsets.tolist() == [-FARTHEST, -1.5, 0, 1.5, FARTHEST]
    assert found.rows[0] == MEAN
    z, classes = along(3000, 4, 3.0)
    np.testing.assert_allclose(found.points[1:, 2], z[found.rows[1:]], rtol=1e-6)
    # the way is that from the mean of one class to that of the other
    apart = z[classes == 1].mean(axis=0) - z[classes == -1].mean(axis=0)
    way = found.points[0, -1] - found.points[0, 0]
    assert way @ apart / np.linalg.norm(way) / np.linalg.norm(apart) > 0.99


def test_a_cached_result_of_any_parameters_serves(store: LatentStore) -> None:
    analyse(store, "labels", clusters=2, seed=7)
    found = walk(store, "Male", walks=1)
    assert found.points.shape == (1, 5, 4)
    assert sum(one.analysis == "labels" for one in store.results()) == 1


def test_results_may_be_cached_elsewhere(store: LatentStore, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "results.zarr")
    first = walk(store, "Smiling", results=elsewhere)
    assert not [one for one in store.results() if one.analysis == "labels"]
    assert walk(store, "Smiling", results=elsewhere).points.tobytes() == first.points.tobytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smiling", "did you mean Smiling"),
        ("Mael", "did you mean Male"),
        ("xyzzy", "it has Smiling, Male, rare"),
        ("rare", r"no direction: [0-3] of .* have it; .*fewest"),
    ],
)
def test_attributes_that_are_not_there_or_have_no_direction_are_named(
    store: LatentStore, name: str, message: str
) -> None:
    with pytest.raises(ParameterError, match=message) as refused:
        walk(store, name)
    assert refused.value.field == "along"

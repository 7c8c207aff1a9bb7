from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import latentscan.analyses.compare.shared_images as module
from latentscan.analyses.compare.shared_images import Member, same_images, shared_rows
from latentscan.errors import StoreError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.kernels.sampling import sample
from latentscan.scan.snapshot import Snapshot
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = 130
PATHS = tuple(f"{row}.jpg" for row in range(IMAGES))


@pytest.fixture(autouse=True)
def _short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read stores side by side in several ranges, which are no multiples of the blocks."""
    monkeypatch.setattr(module, "DEFAULT_CHUNK_ROWS", 50)


def member(folder: Path, name: str, chunk_rows: int, **shape: Any) -> Member:
    store = build_store(
        folder / f"{name}.zarr", images=shape.pop("images", IMAGES), chunk_rows=chunk_rows, **shape
    )
    return Member(name, Snapshot.of(store, allow_partial=True), "z")


def test_stores_are_grouped_by_the_paths_of_their_good_images(tmp_path: Path) -> None:
    other = (*PATHS[:77], "other.jpg", *PATHS[78:])
    members = [
        member(tmp_path, "a", 31, paths=PATHS),
        member(tmp_path, "b", 47, paths=other),
        member(tmp_path, "c", 20, paths=other, rejected=(77,)),  # an image without latents tells nothing
        member(tmp_path, "d", 31, images=129, paths=PATHS),
        member(tmp_path, "e", 47, paths=other, seed=3),
    ]
    groups, differences = same_images(members, Execution(ThreadedExecutor(2)))
    assert groups == [[0, 2], [1, 4], [3]]
    assert differences[0, 1] == "row 77 is 77.jpg in a, other.jpg in b"
    assert differences[0, 3] == "a holds 130 images, d 129"
    assert differences.keys() == {(0, 1), (0, 3), (1, 3), (0, 4)}


def test_latents_made_elsewhere_are_taken_to_be_of_the_same_images(tmp_path: Path) -> None:
    members = [
        member(tmp_path, "a", 31, paths=PATHS),
        member(tmp_path, "b", 47, provenance={"source": {"kind": "latents"}}),
    ]
    assert [one.without_paths for one in members] == [False, True]
    assert same_images(members, Execution()) == ([[0, 1]], {})


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_side_by_side_are_of_images_that_are_good_in_all(tmp_path: Path, threads: int) -> None:
    members = [
        member(tmp_path, "a", 31, rejected=(3, 60)),
        member(tmp_path, "b", 47, rejected=(60, 129), seed=1),
        member(tmp_path, "c", 20, blocks=(0, 1, 2, 4, 5, 6), seed=2),
    ]
    good = np.setdiff1d(np.arange(IMAGES), [3, 60, 129, *range(60, 80)])
    found = shared_rows(members, 25, 5, Execution(ThreadedExecutor(threads)))
    assert found.images.tolist() == sample(good, 25, 5).images.tolist()
    assert found.covariance.count == len(good)
    rows = np.hstack([np.asarray(one.snapshot.store.array("z")[:])[good] for one in members])
    np.testing.assert_allclose(found.covariance.mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        found.covariance.matrix, np.cov(rows.astype(np.float64), rowvar=False, bias=True), atol=1e-6
    )


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    members = [member(tmp_path, name, 31, paths=PATHS) for name in "ab"]
    (tmp_path / "b.zarr" / "path" / "c" / "2").unlink()
    with pytest.raises(StoreError, match=r"b\.zarr.*path/c/2 is missing"):
        same_images(members, Execution())

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import ParameterError, StoreError, UsageError
from latentscan.execution.context import Execution
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.scan.rows import (
    FARTHEST,
    gather_rows,
    read_range,
    require_measurable,
    require_points,
    sample_images,
)
from latentscan.scan.snapshot import Snapshot
from latentscan.store.writer import retract_blocks
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

ROWS = 500
REJECTED = [0, 17, 63, 64, 499]
GOOD = np.delete(np.arange(ROWS), REJECTED)


def latents() -> NDArray[np.float32]:
    z = np.random.default_rng(8).standard_normal((ROWS, 6)).astype(np.float32)
    z[REJECTED, 2] = np.nan
    return z


def store_of(folder: Path, chunk_rows: int = 100) -> LatentStore:
    return build_store(folder / f"{chunk_rows}.zarr", arrays={"z": latents()}, chunk_rows=chunk_rows)


def sampled(
    store: LatentStore, size: int, seed: int = 0, threads: int = 1, *, allow_partial: bool = False
) -> list[int]:
    snapshot = Snapshot.of(store, allow_partial=allow_partial)
    found = sample_images(snapshot, size, seed, Execution(ThreadedExecutor(threads)))
    numbers: list[int] = found.images.tolist()
    return numbers


@pytest.mark.parametrize("chunk_rows", [7, 64, 4096])
def test_a_sample_depends_on_neither_blocks_nor_threads(tmp_path: Path, chunk_rows: int) -> None:
    expected = sampled(store_of(tmp_path, 101), 200, seed=3)
    store = store_of(tmp_path, chunk_rows)
    for threads in (1, 2):
        assert sampled(store, 200, seed=3, threads=threads) == expected


def test_samples_are_nested_and_of_good_images_only(tmp_path: Path) -> None:
    store = store_of(tmp_path, 64)
    everything = sampled(store, 10_000)
    assert sorted(everything) == GOOD.tolist()
    assert sampled(store, 120) == everything[:120]
    assert sampled(store, 120, seed=1) != everything[:120]
    assert sample_images(Snapshot.of(store), 120, 0, Execution()).drawn_from == len(GOOD)


def test_images_of_unwritten_blocks_are_not_sampled(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    retract_blocks(store.location, (2,))
    images = np.array(sampled(store, ROWS, allow_partial=True))
    assert not ((images >= 200) & (images < 300)).any()
    assert len(images) == ROWS - 100 - len(REJECTED)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk_rows", [7, 64, 4096])
def test_rows_come_in_the_order_of_the_images(tmp_path: Path, chunk_rows: int, threads: int) -> None:
    snapshot = Snapshot.of(store_of(tmp_path, chunk_rows))
    for images in ([498], [300, 1, 2, 498, 65, 1]):
        numbers = np.array(images, np.int64)
        found = gather_rows(snapshot, "z", numbers, Execution(ThreadedExecutor(threads)))
        assert found.dtype == np.float32
        assert found.tolist() == latents()[numbers].tolist()


def test_a_damaged_block_is_noticed_where_it_is_read(tmp_path: Path) -> None:
    snapshot = Snapshot.of(store_of(tmp_path))
    (tmp_path / "100.zarr" / "z" / "c" / "3" / "0").unlink()
    images = np.array([10, 210], np.int64)
    assert gather_rows(snapshot, "z", images, Execution()).tolist() == latents()[images].tolist()
    with pytest.raises(StoreError, match="z/c/3/0 is missing"):
        gather_rows(snapshot, "z", np.array([10, 310], np.int64), Execution())


def test_a_store_without_the_array(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    require_points(store, "z")
    with pytest.raises(ParameterError, match=r"100\.zarr holds z only") as refused:
        require_points(store, "mu")
    assert (refused.value.field, refused.value.value) == ("array", "mu")


def test_values_whose_distances_overflow_are_refused_by_their_image(tmp_path: Path) -> None:
    z = latents()
    z[210, 4] = -2 * FARTHEST
    snapshot = Snapshot.of(build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=100))
    require_measurable(snapshot.store, z[:200], np.arange(200))
    require_measurable(snapshot.store, z[:0], np.arange(0))
    for images in ([210], [3, 209, 210]):
        with pytest.raises(UsageError, match=r"component 4 of image 210 is -2e[+]16"):
            gather_rows(snapshot, "z", np.array(images), Execution())


@pytest.mark.parametrize("chunk_rows", [7, 64, 4096])
def test_a_range_is_read_whatever_the_blocks(tmp_path: Path, chunk_rows: int) -> None:
    snapshot = Snapshot.of(store_of(tmp_path, chunk_rows))
    for images in (range(ROWS), range(60, 66), range(498, 500)):
        values, good = read_range(snapshot, "z", images)
        expected = [number for number in images if number not in REJECTED]
        assert (images.start + np.flatnonzero(good)).tolist() == expected
        assert values[good].tolist() == latents()[expected].tolist()
        paths, good = read_range(snapshot, "path", images)
        assert paths[good].tolist() == [f"ünter/{number}.jpg" for number in expected]


def test_a_range_of_blocks_that_are_not_written_is_not_good(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    retract_blocks(store.location, (1,))
    _, good = read_range(Snapshot.of(store, allow_partial=True), "z", range(90, 210))
    assert np.flatnonzero(good).tolist() == [*range(10), *range(110, 120)]

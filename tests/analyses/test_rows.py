from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.analyses.cache import Run
from latentscan.analyses.rows import gathered_rows, require_points, sampled_images
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

ROWS = 500
REJECTED = [0, 17, 63, 64, 499]


def latents() -> NDArray[np.float32]:
    z = np.random.default_rng(8).standard_normal((ROWS, 6)).astype(np.float32)
    z[REJECTED, 2] = np.nan
    return z


def store_of(folder: Path, chunk_rows: int) -> LatentStore:
    np.save(folder / "z.npy", latents())
    location = str(folder / f"{chunk_rows}.zarr")
    ingest({"z": folder / "z.npy"}, location, chunk_rows=chunk_rows)
    return open_store(location)


def drawn(store: LatentStore, size: int, seed: int = 0, run: Run | None = None) -> NDArray[np.int64]:
    run = run or Run()
    return sampled_images(store, size, seed, store.readable_digests(allow_partial=run.allow_partial), run)


@pytest.mark.parametrize("chunk_rows", [7, 64, 4096])
def test_a_sample_depends_on_neither_blocks_nor_threads(tmp_path: Path, chunk_rows: int) -> None:
    expected = drawn(store_of(tmp_path, 100), 200, seed=3)
    store = store_of(tmp_path, chunk_rows)
    for threads in (1, 2):
        assert (
            drawn(store, 200, seed=3, run=Run(executor=ThreadedExecutor(threads))).tolist()
            == expected.tolist()
        )


def test_samples_are_nested_and_of_good_images_only(tmp_path: Path) -> None:
    store = store_of(tmp_path, 64)
    everything = drawn(store, 10_000)
    assert sorted(everything.tolist()) == sorted(set(range(ROWS)) - set(REJECTED))
    assert drawn(store, 120).tolist() == everything[:120].tolist()
    assert drawn(store, 120, seed=1).tolist() != everything[:120].tolist()


def test_images_of_unwritten_blocks_are_not_drawn(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    retract_blocks(store.location, (2,))
    images = drawn(store, ROWS, run=Run(allow_partial=True))
    assert not ((images >= 200) & (images < 300)).any()
    assert len(images) == ROWS - 100 - len(REJECTED)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk_rows", [7, 64, 4096])
def test_rows_come_in_the_order_of_the_images(tmp_path: Path, chunk_rows: int, threads: int) -> None:
    store = store_of(tmp_path, chunk_rows)
    digests = store.readable_digests(allow_partial=False)
    for images in ([498], [300, 1, 2, 498, 65, 1]):
        numbers = np.array(images, np.int64)
        found = gathered_rows(store, "z", numbers, digests, Run(executor=ThreadedExecutor(threads)))
        assert found.dtype == np.float32
        assert found.tolist() == latents()[numbers].tolist()


def test_a_damaged_block_is_noticed(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    digests = store.readable_digests(allow_partial=False)
    (tmp_path / "100.zarr" / "z" / "c" / "3" / "0").unlink()
    images = np.array([10, 210], np.int64)
    assert gathered_rows(store, "z", images, digests, Run()).tolist() == latents()[images].tolist()
    with pytest.raises(StoreError, match="z/c/3/0 is missing"):
        gathered_rows(store, "z", np.array([10, 310], np.int64), digests, Run())


def test_a_store_without_the_array(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100)
    require_points(store, "z")
    with pytest.raises(UsageError, match=r"--array mu: .*100\.zarr holds z only"):
        require_points(store, "mu")

"""What a cluster is sent grows with the blocks of a store, and never with its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest

from latentscan.analyses.cache import Run
from latentscan.encoding.ingest import ingest
from latentscan.execution.executor import FAN_IN
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.scan.check import check_store
from latentscan.store.reader import open_store
from latentscan.synth.dataset import synthesize
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore


@dataclass(frozen=True)
class Scales:
    """Runs tasks in this process, and weighs what a cluster would be sent of them."""

    weights: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    count: int = 2
    in_process: bool = False

    def threads_per_task(self, tasks: int) -> int:
        return 1

    def run_tasks(self, work: Any, items: Any, **rest: Any) -> list[Any]:
        self._weigh(work, items)
        return ThreadedExecutor(1).run_tasks(work, items, **rest)

    def map_reduce(self, leaf: Any, combine: Any, items: Any, **rest: Any) -> Any:
        self._weigh((leaf, combine), items)
        return ThreadedExecutor(1).map_reduce(leaf, combine, items, **rest)

    def _weigh(self, common: Any, items: Any) -> None:
        self.weights.append(len(cloudpickle.dumps(common)) + sum(len(cloudpickle.dumps(i)) for i in items))
        self.tasks.append(len(items))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[LatentStore]:
    """Return a store, one of ten times the rows in as many blocks, and one of ten times the blocks."""
    sizes = ((160, 16), (1600, 16), (1600, 160))
    return [store_of(tmp_path_factory.mktemp("store"), rows, blocks) for rows, blocks in sizes]


def store_of(folder: Path, rows: int, blocks: int) -> LatentStore:
    np.save(folder / "z.npy", np.random.default_rng(0).standard_normal((rows, 3), np.float32))
    ingest({"z": folder / "z.npy"}, str(folder / "z.zarr"), chunk_rows=rows // blocks)
    return open_store(str(folder / "z.zarr"))


def sent(store: LatentStore, name: str) -> Scales:
    scales = Scales()
    if name == "check":
        check_store(store, executor=scales)
    else:
        analysis = ANALYSES[name]
        analysis.run(store, analysis.parameters(), Run(executor=scales))
    return scales


@pytest.mark.parametrize("name", ["stats", "axes", "pca", "check"])
def test_ten_times_the_rows_in_as_many_blocks_are_as_much(stores: list[LatentStore], name: str) -> None:
    few, many, longer = (sent(store, name) for store in stores)
    assert few.tasks
    assert few.tasks == many.tasks
    assert sum(many.weights) == pytest.approx(sum(few.weights), rel=0.02)
    assert sum(longer.tasks) == pytest.approx(10 * sum(many.tasks), abs=FAN_IN)
    assert sum(longer.weights) < 10 * sum(many.weights)


def test_images_are_sent_as_the_place_where_they_are(tmp_path: Path) -> None:
    for images in (3, 30):
        synthesize(tmp_path / str(images), images, workers=1)
    few, many = (
        len(cloudpickle.dumps(open_images(tmp_path / str(images), Preprocessing()))) for images in (3, 30)
    )
    assert many == pytest.approx(few, abs=10)

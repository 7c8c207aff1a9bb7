"""What a cluster is sent grows with the blocks of a store, and never with its rows; see also analyses/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cloudpickle
import pytest

from latentscan.execution.context import Execution
from latentscan.execution.executor import FAN_IN
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.scan.check import check_store
from latentscan.synth.dataset import synthesize
from tests.builders import Scales, build_store

if TYPE_CHECKING:
    from pathlib import Path


def sent(folder: Path, rows: int, blocks: int) -> Scales:
    scales = Scales()
    store = build_store(folder / f"{rows}-{blocks}.zarr", images=rows, chunk_rows=rows // blocks)
    check_store(store, Execution(scales))
    return scales


def test_ten_times_the_rows_in_as_many_blocks_are_as_much(tmp_path: Path) -> None:
    few, many, longer = (sent(tmp_path, *shape) for shape in ((160, 16), (1600, 16), (1600, 160)))
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

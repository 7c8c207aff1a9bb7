from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.kmeans.assign import chosen_k, labels_of
from latentscan.store.results import Result
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_get_the_clusters_that_the_analysis_found(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=200, components=4, chunk_rows=60, latents=("z",))
    result = analyse(store, "kmeans", k=(3, 5), seeds=3, labels=(3, 5), reference=False)
    rows = np.asarray(store.z[:])
    for at, k in enumerate((3, 5)):
        np.testing.assert_array_equal(labels_of(result, rows, k), result["labels"][at])
    np.testing.assert_array_equal(labels_of(result, rows[:0], 3), [])


def test_the_natural_number_of_clusters_is_looked_at_or_about_ten(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=100, components=2, latents=("z",))
    result = analyse(store, "kmeans", k=(2, 9, 20), seeds=1, reference=False)
    assert chosen_k(result) == 9
    natural = {**result.attributes, "gap_verdict": "about", "gap_best": 20}
    assert chosen_k(Result(result.variables, natural)) == 20

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import latentscan.analyses.kmeans.centres as centres_module
from tests.builders import analyse, assert_same_bits, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

FEW: dict[str, Any] = {"k": (2, 5, 9), "seeds": 2, "batch_rows": 256, "passes": 3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    rng = np.random.default_rng(3)
    z = rng.standard_normal((7, 16))[rng.integers(0, 7, 1500)] + 0.3 * rng.standard_normal((1500, 16))
    return build_store(tmp_path_factory.mktemp("centres") / "z.zarr", arrays={"z": z}, chunk_rows=200)


def test_a_model_does_not_depend_on_those_beside_it(tmp_path: Path, store: LatentStore) -> None:
    results = str(tmp_path / "results.zarr")
    many = analyse(store, "kmeans", **FEW, reference=False, results=results)
    one = analyse(store, "kmeans", **FEW | {"k": 9, "seeds": 1, "seed": 1}, reference=False, results=results)
    of_model = (many["centre_k"] == 9) & (many["centre_seed"] == 1)
    assert one["centres"].tobytes() == many["centres"][of_model].tobytes()


def test_centres_that_are_cached_are_not_trained_anew(
    tmp_path: Path, store: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = str(tmp_path / "results.zarr")
    first = analyse(store, "kmeans", **FEW, results=results)
    monkeypatch.setattr(centres_module, "train", None)  # to call it would raise
    labelled = analyse(store, "kmeans", **FEW, labels=(5,), results=results)
    assert labelled["inertia"].tobytes() == first["inertia"].tobytes()
    with pytest.raises(TypeError):
        analyse(store, "kmeans", **FEW, force=True, results=results)
    monkeypatch.undo()
    assert_same_bits(analyse(store, "kmeans", **FEW, force=True, results=results), first)

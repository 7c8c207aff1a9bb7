from __future__ import annotations

import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import latentscan as ls
from latentscan.analyses.cache import Run
from latentscan.analyses.stats import StatsParameters, stats
from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError, UsageError
from latentscan.table import ANALYSES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def location(tmp_path: Path) -> str:
    z = np.random.default_rng(0).standard_normal((300, 5), np.float32)
    np.save(tmp_path / "z.npy", z)
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"), chunk_rows=64)
    return str(tmp_path / "z.zarr")


def test_every_analysis_is_a_function_with_its_parameters() -> None:
    assert set(ANALYSES) < set(dir(ls))
    for name, analysis in ANALYSES.items():
        function = getattr(ls, name)
        given = set(inspect.signature(function).parameters)
        assert given == {"store", *analysis.parameters.model_fields, *inspect.signature(Run).parameters}
        assert all(f"\n{key}\n" in function.__doc__ for key in given - {"store"})


def test_a_function_gives_what_the_command_gives(location: str) -> None:
    store = ls.open(location)
    dataset = ls.stats(store, upper=10, results=f"{location}-results")
    expected = stats(store, StatsParameters(upper=10)).to_dataset()
    assert dataset.identical(expected)
    assert store.z[3].shape == (5,)


def test_errors_name_the_parameter(location: str) -> None:
    store = ls.open(location)
    with pytest.raises(UsageError, match="stats: uper"):
        ls.stats(store, uper=10)
    with pytest.raises(UsageError, match="stats: width"):
        ls.stats(store, width=0)
    with pytest.raises(StoreError, match="does not exist"):
        ls.open(f"{location}.not")
    with pytest.raises(AttributeError, match=r"no 'statistics'; it offers .*stats"):
        _ = ls.statistics


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, latentscan; print(sorted(m for m in ('numpy', 'zarr', 'pydantic') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_points_are_projected_when_they_are_indexed(location: str) -> None:
    store = ls.open(location)
    projection = ls.project(store, first=2)
    z = np.asarray(store.z[:], np.float64)
    centred = z - z.mean(axis=0)
    expected = centred @ ls.pca(store)["axes"].to_numpy()[:2].T
    np.testing.assert_allclose(projection[10:20], expected[10:20], atol=1e-6)


def test_stores_are_compared(location: str, tmp_path: Path) -> None:
    ingest({"z": tmp_path / "z.npy"}, f"{location}-copy", chunk_rows=100)
    stores = {"one": ls.open(location), "two": ls.open(f"{location}-copy")}
    found = ls.compare(stores, kmeans=False, tsne=False, sample=100)
    assert found["cka"].item() == pytest.approx(1)


def test_a_cluster_gives_what_this_process_gives(location: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "profiles: {one: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}}}\ndefault: one\n"
    )
    store = ls.open(location)
    here = ls.pca(store, results=str(tmp_path / "here.zarr"), workers=ls.ThreadedExecutor(1))
    said: list[str] = []
    with ls.cluster(file=file, say=said.append) as executor:
        there = ls.pca(store, results=str(tmp_path / "there.zarr"), executor=executor)
    assert here.identical(there)
    assert "tcp://127.0.0.1:" in " ".join(said)

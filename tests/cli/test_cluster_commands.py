"""Commands whose tasks run on a cluster, on stores and images wherever they are."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from distributed import LocalCluster

from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.commands import Command

IMAGES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with faces, a model, latents, and a cluster of one process."""
    import keras

    directory: Path = tmp_path_factory.mktemp("cluster")
    synthesize(directory / "faces", IMAGES, workers=1)
    inputs = keras.Input((32, 32, 3))
    points = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, points).save(directory / "model.keras")
    np.save(directory / "z.npy", np.random.default_rng(0).standard_normal((300, 4), np.float32))
    (directory / "cluster.yaml").write_text(
        "profiles: {one: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 1}}}\n"
    )
    return directory


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield str(cluster.scheduler_address)


def succeed(latentscan: Command, folder: Path, *words: str) -> str:
    done = latentscan(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_images_and_store_may_be_in_a_bucket(
    latentscan: Command, latentscan_process: Command, folder: Path, s3: str
) -> None:
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem(skip_instance_cache=True).put(f"{folder}/faces", f"{s3}/faces", recursive=True)
    encode = ("encode", "--model", "model.keras", "--size", "32", "--chunk-rows", "16", "--images")
    succeed(latentscan, folder, *encode, "faces", "--store", "z.zarr")
    succeed(latentscan_process, folder, *encode, f"{s3}/faces", "--store", f"{s3}/z.zarr", "--profile", "one")
    here, there = zarr.open_group(f"{folder}/z.zarr", mode="r"), zarr.open_group(f"{s3}/z.zarr", mode="r")
    for name in ("z", "path", "commits/digest"):
        np.testing.assert_array_equal(_array(here, name), _array(there, name))
    one, other = here.attrs.asdict(), there.attrs.asdict()
    assert str(folder) in str(one.pop("resume_command"))
    assert f"--store {s3}/z.zarr" in str(other.pop("resume_command"))
    assert one.pop("metadata_sha256") != other.pop("metadata_sha256")  # which is of that command too
    assert one == other


def _array(group: zarr.Group, name: str) -> Any:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array[...]


def test_every_verb_of_stores_runs_on_a_cluster(
    latentscan: Command, latentscan_process: Command, folder: Path, scheduler: str
) -> None:
    """What is said of the two stores, of which one was made and read on a cluster, is the same."""
    said = []
    for name, run, where in (
        ("here", latentscan, ()),
        ("there", latentscan_process, ("--scheduler", scheduler)),
    ):
        store = ("--store", f"{name}.zarr")
        succeed(run, folder, "ingest", "--z", "z.npy", "--chunk-rows", "100", *store, *where)
        printed = {
            "stats": succeed(run, folder, "stats", *store, "--json", *where),
            "kmeans": succeed(run, folder, "kmeans", *store, "--k", "2:4", "--json", *where),
        }
        said.append({verb: {**json.loads(text), "store": ""} for verb, text in printed.items()})
        assert "3 of 3 blocks written" in succeed(run, folder, "check", *store, *where)
    assert said[0] == said[1]


def test_no_cluster_is_started_for_what_is_cached(latentscan: Command, folder: Path) -> None:
    succeed(latentscan, folder, "ingest", "--z", "z.npy", "--chunk-rows", "100", "--store", "cached.zarr")
    succeed(latentscan, folder, "stats", "--store", "cached.zarr")
    done = latentscan("stats", "--store", "cached.zarr", "--profile", "one", cwd=folder)
    assert done.returncode == 0
    assert "starting" not in done.stderr


def test_a_wrong_option_is_refused_before_a_cluster_is_started(latentscan: Command, folder: Path) -> None:
    done = latentscan("stats", "--store", "none.zarr", "--profile", "one", cwd=folder)
    assert done.returncode == 4
    assert "starting" not in done.stderr

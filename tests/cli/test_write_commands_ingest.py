"""`latentscan ingest`: the digest is the commit record, and nothing finished is written again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.cli.commands import Command

    Contents = Callable[[Path], dict[str, bytes]]
    Listing = Callable[[Path], dict[str, tuple[int, int]]]

IMAGES, COMPONENTS, CHUNK_ROWS = 150, 6, 64


def save(folder: Path, seed: int = 1) -> list[str]:
    """Write mu.npy, logvar.npy and z.npy, and give the options that name them."""
    random = np.random.default_rng(seed)
    mu = random.normal(size=(IMAGES, COMPONENTS))
    logvar = random.normal(-3, 1, size=mu.shape)
    arrays = {"mu": mu, "logvar": logvar, "z": mu + np.exp(logvar / 2) * random.normal(size=mu.shape)}
    options = []
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values.astype(np.float32))
        options += [f"--{name}", str(folder / f"{name}.npy")]
    return options


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*save(tmp_path_factory.mktemp("latents")), "--chunk-rows", str(CHUNK_ROWS)]


@pytest.fixture(scope="module")
def store(latentscan: Command, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ingest") / "a.zarr"
    done = latentscan("ingest", *options, "--store", path)
    assert (done.returncode, done.stdout) == (0, "")
    return path


@pytest.fixture
def incomplete(store: Path, tmp_path: Path) -> Path:
    """The store as it is when the block of images 64..127 was never committed."""
    path = tmp_path / store.name
    shutil.copytree(store, path)
    (path / "commits" / "digest" / "c" / "1" / "0" / "0").unlink()
    return path


def test_every_block_is_committed_by_a_digest(store: Path) -> None:
    group = zarr.open_group(store, mode="r")
    digest = np.asarray(group["commits/digest"])
    assert digest.dtype == np.uint8
    assert (digest.shape[0], digest.shape[2]) == (3, 32)
    assert digest.any(axis=2).all()
    assert group.attrs["format_version"] == 2
    for name in ("mu", "logvar", "z"):
        array = group[name]
        assert isinstance(array, zarr.Array)
        assert (array.shape, array.chunks) == ((IMAGES, COMPONENTS), (CHUNK_ROWS, COMPONENTS))
        codecs = json.loads((store / name / "zarr.json").read_text())["codecs"]
        assert [codec["name"] for codec in codecs] == ["bytes", "crc32c"]
    root = json.loads((store / "zarr.json").read_text())
    assert str(store.parent.parent) in root["attributes"].pop("resume_command")
    assert str(store.parent.parent) not in json.dumps(root)


def test_repeating_changes_no_file(
    latentscan: Command, store: Path, options: list[str], listing: Listing
) -> None:
    before = listing(store)
    done = latentscan("ingest", *options, "--store", store)
    assert done.returncode == 0, done.stderr
    assert listing(store) == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_latents_are_refused(
    latentscan: Command, store: Path, incomplete: Path, listing: Listing, tmp_path: Path, finished: bool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = store if finished else incomplete
    before = listing(path)
    done = latentscan("ingest", *save(other, seed=2), "--chunk-rows", str(CHUNK_ROWS), "--store", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert path.name in done.stderr
    assert "another store" in done.stderr
    assert len(done.stderr) < 400, "a person reads this"
    assert listing(path) == before


def test_other_chunk_rows_are_refused(
    latentscan: Command, store: Path, options: list[str], listing: Listing
) -> None:
    before = listing(store)
    done = latentscan("ingest", *options[:-1], "50", "--store", store)
    assert done.returncode == 2
    assert "64" in done.stderr
    assert "50" in done.stderr
    assert listing(store) == before


def test_incomplete_store_is_refused_with_the_way_to_complete_it(
    latentscan: Command, incomplete: Path, listing: Listing
) -> None:
    before = listing(incomplete)
    done = latentscan("stats", "--store", incomplete, "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert "2 of 3" in done.stderr
    assert "--allow-partial" in done.stderr
    for part in ("latentscan ingest", "--z", "--mu", "--logvar", "--chunk-rows 64", str(incomplete)):
        assert part in done.stderr, "the command that completes it, so that it can be followed"
    assert listing(incomplete) == before


def test_check_names_the_block_that_is_not_written(latentscan: Command, incomplete: Path) -> None:
    done = latentscan("check", "--store", incomplete)
    assert done.returncode == 4
    assert re.search(r"64\s*(\.\.|-|–|to)\s*127|block 1\b|digest/c/1", done.stdout + done.stderr)


def test_partial_then_completed(
    latentscan: Command,
    store: Path,
    incomplete: Path,
    options: list[str],
    contents: Contents,
    listing: Listing,
) -> None:
    partial = latentscan("stats", "--store", incomplete, "--allow-partial", "--json")
    assert partial.returncode == 0, partial.stderr
    found = json.loads(partial.stdout)
    assert found["images"] == sum(found["radius"]["histogram"]["z"]) == IMAGES - CHUNK_ROWS
    before = listing(incomplete)
    completed = latentscan("ingest", *options, "--store", incomplete)
    assert completed.returncode == 0, completed.stderr
    after = listing(incomplete)
    committed = [name for name in before if re.fullmatch(r"(commits/)?\w+/c/[02](/0)*", name)]
    chunks = [name for name in committed if (incomplete / name).is_file()]
    assert len(chunks) == 13
    assert [name for name in chunks if before[name] != after[name]] == [], "no block is written twice"
    data = {name: data for name, data in contents(incomplete).items() if not name.startswith("analyses")}
    data["zarr.json"] = contents(store)["zarr.json"]
    assert data == contents(store)
    whole = latentscan("stats", "--store", incomplete, "--json")
    assert json.loads(whole.stdout)["images"] == IMAGES, "the partial result is not taken for the whole"


def test_interrupted_ingest_goes_on(
    latentscan: Command, tmp_path: Path, outside: Path, contents: Contents
) -> None:
    np.save(tmp_path / "z.npy", np.random.default_rng(5).normal(size=(2_400, 8)).astype(np.float32))
    command = ("ingest", "--z", str(tmp_path / "z.npy"), "--chunk-rows", "20", "--store")
    store, blocks = tmp_path / "z.zarr", 120
    assert latentscan(*command, store).returncode == 0
    whole = store.rename(tmp_path / "whole.zarr")  # the path is in the store, as a part of the command
    with subprocess.Popen(
        [sys.executable, "-m", "latentscan", *command, store],
        cwd=outside,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        committed = store / "commits" / "digest" / "c"
        deadline = time.monotonic() + 30
        while not (committed.is_dir() and len(list(committed.iterdir())) > 3):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert "same command" in stderr, "says how to go on"
    assert 3 <= len(list(committed.rglob("0/0"))) < blocks
    assert latentscan("ingest", *command[1:], store).returncode == 0
    assert contents(store) == contents(whole)


def test_any_floating_point_layout(latentscan: Command, tmp_path: Path) -> None:
    values: NDArray[np.float64] = np.random.default_rng(6).normal(size=(30, 4))
    values[11, 2] = 1e300
    np.save(tmp_path / "z.npy", np.asfortranarray(values.astype(">f8")))
    done = latentscan(
        "ingest", "--z", tmp_path / "z.npy", "--store", tmp_path / "z.zarr", "--chunk-rows", "7"
    )
    assert done.returncode == 3
    assert re.search(r"\b11\b", done.stderr)
    group = zarr.open_group(tmp_path / "z.zarr", mode="r")
    stored, kept = np.asarray(group["z"]), np.arange(30) != 11
    np.testing.assert_array_equal(stored[kept], values[kept].astype(np.float32))
    assert np.isnan(stored[11]).all()
    assert np.flatnonzero(np.asarray(group["status"])).tolist() == [11]

"""Stores that the first release wrote: format 1, with the commit record among the arrays of images."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from latentscan.encoding.ingest import ingest
from latentscan.errors import StoreError, UsageError
from latentscan.images.source import Status
from latentscan.scan.check import check_store, repair_store
from latentscan.store.reader import open_store
from latentscan.store.results import Results
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block
from tests.builders import analyse

if TYPE_CHECKING:
    from numpy.typing import NDArray

STORES = Path(__file__).parent / "fixtures" / "format_1.zip"
SCHEMA = Schema(7, 3, ("mu", "logvar", "z"), chunk_rows=3, labels=("Male", "Young"), split=True)
STATS = "analyses/stats/6110768ab8bbb712"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The stores `complete`, `incomplete` (block 1 is not written), and `ingested` from z.npy (as well)."""
    with zipfile.ZipFile(STORES) as stored:
        stored.extractall(tmp_path)
    return tmp_path


def expected(name: str) -> NDArray[Any]:
    """What was written, (image, component) or (image,)."""
    image = np.arange(7, dtype=np.float32)[:, None]
    component = np.arange(3, dtype=np.float32)
    latents = {
        "mu": image + component / 4,
        "logvar": -1 - image / 8 - component,
        "z": image + component / 4 + np.float32(0.125),
    }
    if name in latents:
        latents[name][4] = np.nan
        return latents[name]
    rows = range(7)
    others: dict[str, Any] = {
        "path": [f"ünter/{row}.jpg" for row in rows],
        "status": [Status.UNREADABLE if row == 4 else Status.GOOD for row in rows],
        "split": [row % 3 for row in rows],
        "attribute": [[(-1) ** row, 1 - 2 * (row > 3)] for row in rows],
    }
    return np.array(others[name])


def values_of(block: int) -> dict[str, Any]:
    rows = SCHEMA.rows(block)
    values = {name: expected(name)[rows.start : rows.stop] for name in SCHEMA.names}
    return {**values, "path": values["path"].astype(object), "status": values["status"].astype(np.uint8)}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_read(folder: Path) -> None:
    store = open_store(str(folder / "complete"))
    assert (store.format_version, store.schema) == (1, SCHEMA)
    digests = store.digests()
    for block in range(3):
        rows = SCHEMA.rows(block)
        found = store.read_block(block, SCHEMA.names, digests[block])
        for name in SCHEMA.names:
            np.testing.assert_array_equal(found[name], expected(name)[rows.start : rows.stop])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(folder / "complete")
    np.testing.assert_array_equal(dataset["z"], expected("z"))


def test_it_is_whole_and_damage_is_found_and_repaired(folder: Path) -> None:
    location = str(folder / "complete")
    before = files_of(folder / "complete")
    found = check_store(open_store(location))
    assert (found.damages, found.unwritten) == ((), ())
    assert files_of(folder / "complete") == before
    (folder / "complete" / "array" / "c" / "0").unlink()
    (folder / "complete" / "digest" / "zarr.json").unlink()
    found = check_store(open_store(location))
    assert {damage.file for damage in found.damages} == {"array/c/0", "digest/zarr.json"}
    repair_store(location, found)
    assert check_store(open_store(location)).damages == ()


def test_its_results_are_read(folder: Path) -> None:
    results = Results(str(folder / "complete"))
    (entry,) = results.entries()
    assert (entry.path, entry.created, entry.is_intact, entry.is_listed) == (STATS, None, True, True)
    found = results.load(STATS)
    assert found is not None
    assert found.attributes["rejected"] == 1
    assert found["radius_max"].tolist() == [10.831089511217234, 11.047482744951449]
    assert found["logvar_mean"].tolist() == [-1.3541666666666667, -2.3541666666666665, -3.3541666666666665]


def test_it_is_analysed_as_before(folder: Path) -> None:
    cached = Results(str(folder / "complete")).load(STATS)
    assert cached is not None
    store, ranges = open_store(str(folder / "complete")), ((14.0, 19.0), (12.0, 24.0))
    found = analyse(store, "stats", upper=35.0, width=0.5, ranges=ranges)  # its defaults
    for name, variable in cached.variables.items():
        if variable.values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], variable.values, rtol=1e-15)
        else:
            assert found[name].tolist() == variable.values.tolist()


def test_an_incomplete_one_says_so(folder: Path) -> None:
    store = open_store(str(folder / "incomplete"))
    assert store.committed().tolist() == [True, False, True]
    with pytest.raises(StoreError, match=r"2 of 3 blocks .* repeat the command that wrote it"):
        store.readable_digests(allow_partial=False)
    assert check_store(store).unwritten == (1,)


def test_an_incomplete_one_is_resumed_in_its_own_format(folder: Path) -> None:
    location = str(folder / "incomplete")
    begun = open_store(location).attributes
    provenance = {
        name: begun[name]
        for name in ("encoder", "source", "preprocessing", "seed", "epsilon_limit", "epsilon_factor")
    }
    with pytest.raises(UsageError, match="seed"):
        create_store(location, SCHEMA, {**provenance, "seed": 6})
    store = create_store(location, SCHEMA, provenance, resume_command="latentscan encode")
    write_block(store, 1, values_of(1))
    shutil.rmtree(folder / "complete" / "analyses")
    whole = files_of(folder / "complete")
    whole["zarr.json"] = (folder / "incomplete" / "zarr.json").read_bytes()
    assert files_of(folder / "incomplete") == whole


def test_latents_are_brought_into_one_that_was_begun(folder: Path) -> None:
    location = str(folder / "ingested")
    assert open_store(location).committed().tolist() == [True, False, True]
    summary = ingest({"z": folder / "z.npy"}, location, chunk_rows=3)
    assert (summary.images, summary.written) == (7, 3)
    np.testing.assert_array_equal(open_store(location).z[:], np.load(folder / "z.npy"))
    assert check_store(open_store(location)).damages == ()


def test_a_damaged_root_of_it_has_no_copy(folder: Path) -> None:
    (folder / "complete" / "zarr.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"zarr\.json is damaged: .*; restore it from a copy"):
        open_store(str(folder / "complete"))


def test_a_damaged_list_of_results_keeps_nobody_from_its_latents(folder: Path) -> None:
    root = folder / "complete" / "zarr.json"
    text = root.read_text()
    at = text.index('"storage_transformers"', text.index(STATS)) + 3
    root.write_text(text[:at] + "X" + text[at + 1 :])
    store = open_store(str(folder / "complete"))
    np.testing.assert_array_equal(store.z[:], expected("z"))
    found = check_store(store)
    assert [damage.file for damage in found.damages] == ["zarr.json"]
    repair_store(store.location, found)
    assert sorted(root.read_text()) == sorted(text)

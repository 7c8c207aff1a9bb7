"""Latents that were made elsewhere; the command is tested in tests/cli/test_write_commands_ingest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest
from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.source import Status
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from pathlib import Path

IMAGES, COMPONENTS = 50, 3


@pytest.fixture
def latents(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    for name in ("mu", "logvar", "z"):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((IMAGES, COMPONENTS)))
    return {name: tmp_path / f"{name}.npy" for name in ("z", "mu", "logvar")}


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_every_row_is_that_of_its_file(latents: dict[str, Path], tmp_path: Path) -> None:
    summary = ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7)
    assert (summary.images, summary.written, dict(summary.rejected)) == (IMAGES, IMAGES, {})
    store = open_store(str(tmp_path / "z.zarr"))
    assert store.schema.latents == ("mu", "logvar", "z")
    for name, file in latents.items():
        np.testing.assert_array_equal(store.array(name)[:], np.load(file).astype(np.float32))
    assert np.asarray(store.array("path")[:]).tolist() == [str(row) for row in range(IMAGES)]


def test_a_row_that_is_not_finite_is_rejected(latents: dict[str, Path], tmp_path: Path) -> None:
    z = np.load(latents["z"])
    z[3, 1], z[20, 0], z[21, 0] = np.nan, np.inf, 1e300  # the last is too large for float32
    np.save(latents["z"], z)
    summary = ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7)
    assert dict(summary.rejected) == {Status.NOT_FINITE: 3}
    mu = np.asarray(open_store(str(tmp_path / "z.zarr")).mu[:])
    assert np.flatnonzero(np.isnan(mu).all(axis=1)).tolist() == [3, 20, 21]


def test_what_is_missing_is_written_and_nothing_else(latents: dict[str, Path], tmp_path: Path) -> None:
    store = tmp_path / "z.zarr"
    ingest(latents, str(store), chunk_rows=7, executor=ThreadedExecutor(1))
    whole = files(store)
    retract_blocks(str(store), [2])
    before = (store / "z" / "c" / "1" / "0").stat().st_mtime_ns
    assert ingest(latents, str(store), chunk_rows=7).written == 7
    assert files(store) == whole
    assert (store / "z" / "c" / "1" / "0").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.zeros((5, 2), int), np.zeros((0, 2)), np.zeros((5, 2, 2))]
)
def test_an_array_that_holds_no_latents_is_an_error_of_its_parameter(
    latents: dict[str, Path], tmp_path: Path, values: Any
) -> None:
    np.save(latents["mu"], values)
    with pytest.raises(ParameterError) as refused:
        ingest(latents, str(tmp_path / "z.zarr"))
    assert (refused.value.field, refused.value.value) == ("mu", latents["mu"])
    assert not (tmp_path / "z.zarr").exists()


def test_latents_of_other_images_are_refused(latents: dict[str, Path], tmp_path: Path) -> None:
    np.save(latents["mu"], np.zeros((IMAGES + 1, COMPONENTS)))
    with pytest.raises(UsageError):
        ingest(latents, str(tmp_path / "z.zarr"))
    assert not (tmp_path / "z.zarr").exists()


def test_pickled_objects_are_refused(latents: dict[str, Path], tmp_path: Path) -> None:
    np.save(latents["z"], np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeInputError):
        ingest(latents, str(tmp_path / "z.zarr"))
    assert not (tmp_path / "z.zarr").exists()

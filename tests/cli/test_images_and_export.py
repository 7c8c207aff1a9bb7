"""`images` and `export`: from a number to the images behind it, and to the tables of other tools."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from PIL import Image

import latentscan as ls
from tests.builders import build_store
from tests.cli.commands import latentscan

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

HOSTILE = ("=cmd|'c calc'!A0.png", 'a","b\n.png', "$x_1$ [red]<b>.png")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of one grey value each, some with names that mean something elsewhere."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate([*HOSTILE, *(f"{n:02}.png" for n in range(27))]):
        Image.new("RGB", (24, 24), (8 * number,) * 3).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> LatentStore:
    """Latents that were made elsewhere, of these images in an order of their own."""
    names = sorted((file.name for file in pictures.iterdir()), reverse=True)
    z = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    z[11] = 40
    folder = tmp_path_factory.mktemp("store")
    return build_store(folder / "z.zarr", arrays={"z": z}, chunk_rows=7, paths=names, labels=("Smiling",))


def paths(store: LatentStore) -> list[str]:
    found: list[str] = np.asarray(store.path).tolist()
    return found


def test_an_outlier_is_listed_with_its_path_and_shown_on_a_sheet(
    tmp_path: Path, store: LatentStore, pictures: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    words = ("images", "--store", store.location, "--outliers", "--count", 3)
    done = latentscan(*words, "--out", sheet, "--images", pictures)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[2].split()
    assert (first[0], first[-1]) == ("11", paths(store)[11])
    pixels = np.asarray(Image.open(sheet))
    grey = 8 * [*HOSTILE, *(f"{n:02}.png" for n in range(27))].index(paths(store)[11])
    assert (pixels == grey).all(axis=2).sum() > 100 * 100


def test_a_table_has_every_path_as_it_is(tmp_path: Path, store: LatentStore) -> None:
    table = tmp_path / "rows.csv"
    assert (
        latentscan("images", "--store", store.location, "0:29", "--count", 30, "--out", table).returncode == 0
    )
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["row", "path"]
    assert [path for _, path in rows[1:]] == paths(store)


def test_the_selection_as_a_document(store: LatentStore) -> None:
    done = latentscan("images", "--store", store.location, "--largest", "radius", "--count", 2, "--json")
    document = json.loads(done.stdout)
    assert (document["store"], document["total"], len(document["images"])) == (store.location, 30, 2)
    assert document["images"][0]["image"] == 11
    assert document["images"][0]["radius"] == pytest.approx(80)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("3", "--outliers"),
        ("--cluster", "x"),
        ("--largest", "beauty"),
        ("--outliers", "--out", "sheet.tiff"),
        ("--outliers", "--array", "logvar"),
        ("--outliers", "--out", "sheet.png"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, store: LatentStore, words: tuple[str, ...]
) -> None:
    done = latentscan("images", "--store", store.location, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz"])
def test_pandas_and_numpy_read_what_is_exported(tmp_path: Path, store: LatentStore, ending: str) -> None:
    import pandas as pd

    out = tmp_path / f"points.{ending}"
    done = latentscan("export", "--store", store.location, "--out", out)
    assert done.returncode == 0, done.stderr
    if ending == "npz":
        with np.load(out) as held:
            table = pd.DataFrame({name: held[name] for name in held.files})
    else:
        table = pd.read_parquet(out) if ending == "parquet" else pd.read_csv(out)
    assert table["path"].tolist() == paths(store)
    assert table["row"].tolist() == list(range(30))
    assert table["Smiling"].isin([1, -1]).all()
    np.testing.assert_allclose(table["radius"], np.linalg.norm(np.asarray(store.z), axis=1), rtol=1e-6)
    assert table["score"].idxmax() == 11
    assert {"pc1", "pc2", "duplicate_group"} <= set(table.columns)
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_latents_are_exported_as_an_array(tmp_path: Path, store: LatentStore) -> None:
    assert latentscan("export", "--store", store.location, "--out", tmp_path / "z.npy").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), np.asarray(store.z))


def test_anndata_finds_table_and_latents(tmp_path: Path, store: LatentStore) -> None:
    """As its format describes them: every element says how it is encoded."""
    out, again = tmp_path / "points.h5ad", tmp_path / "again.zarr"
    done = latentscan("export", "--store", store.location, "--out", out)
    assert done.returncode == 0, done.stderr
    with h5py.File(out) as file:
        assert file.attrs["encoding-type"] == "anndata"
        assert all("encoding-version" in element.attrs for element in (*file.values(), *file["obs"].values()))
        obs, obsm = file["obs"], file["obsm"]
        assert set(obs.attrs["column-order"]) == set(obs) - {obs.attrs["_index"]}
        assert obs["path"].asstr()[:].tolist() == paths(store)
        assert obs["_index"].asstr()[:].tolist() == [str(row) for row in range(30)]
        assert file["var/_index"].shape == (0,)
        np.testing.assert_array_equal(obsm["z"], np.asarray(store.z))
        np.testing.assert_array_equal(obsm["X_pca"][:, 1], obs["pc2"])
    assert latentscan("ingest", "--z", f"{out}:obsm/z", "--store", again).returncode == 0
    np.testing.assert_array_equal(np.asarray(ls.open(str(again)).z), np.asarray(store.z))


def test_attributes_named_as_what_anndata_or_a_table_has_take_the_place_of_nothing(tmp_path: Path) -> None:
    labels = ("pc1", "_index", "a/b", "a_b", "obsm/z")
    store = build_store(tmp_path / "s.zarr", images=30, components=3, labels=labels, latents=("z",))
    done = latentscan("export", "--store", store.location, "--out", tmp_path / "s.h5ad")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "s.h5ad") as file:
        obs = file["obs"]
        assert {array.shape for array in obs.values()} == {(30,)}
        assert len(obs) == len(obs.attrs["column-order"]) + 1
        np.testing.assert_array_equal(file["obsm/X_pca"][:, 0], obs["pc1_2"])
        np.testing.assert_array_equal(obs["pc1"], np.asarray(store.array("attribute"))[:, 0])
        np.testing.assert_array_equal(file["obsm/z"], np.asarray(store.z))


def test_a_table_that_cannot_be_made_leaves_nothing(tmp_path: Path, store: LatentStore) -> None:
    for words in (("--out", "a.xlsx"), ("--out", "a.csv", "--k", 4), ("--out", "a.csv", "--mapped")):
        done = latentscan("export", "--store", store.location, *words, cwd=tmp_path)
        assert done.returncode == 2
        assert not list(tmp_path.iterdir())

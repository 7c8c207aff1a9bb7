"""`latentscan compare` as a user starts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.commands import Command

FAST = ("--no-kmeans", "--no-tsne", "--sample", "50", "--nearest", "4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores called z.zarr in folders of their own, and one of fewer images."""
    folder = tmp_path_factory.mktemp("compare")
    z = np.random.default_rng(0).standard_normal((120, 4), np.float32)
    for name, values in {"ae/z": z, "vae/z": 2 * z, "few": z[:90]}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / "z.npy", values)
        ingest({"z": folder / "z.npy"}, str(folder / f"{name}.zarr"), chunk_rows=50)
    return folder


def test_tables_and_a_picture(latentscan: Command, folder: Path) -> None:
    options = ("--k", "2,3", "--seeds", "1", "--no-reference", "--points", "60", "--perplexity", "5")
    done = latentscan(
        *("compare", "ae/z.zarr", "vae/z.zarr", "--sample", "50", "--iterations", "30", *options),
        *("--plot", "compare.png", "--results", "results.zarr"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "ae/z.zarr, vae/z.zarr" in done.stdout
    assert "1.000" in done.stdout
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    kept = {path.name for path in (folder / "results.zarr" / "analyses").iterdir() if path.is_dir()}
    assert {"stats", "kmeans", "tsne", "compare"} <= kept


def test_one_json_document(latentscan: Command, folder: Path) -> None:
    done = latentscan("compare", "ae/z.zarr", "few.zarr", "vae/z.zarr", "--json", *FAST, cwd=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert list(document["stores"]) == ["ae/z.zarr", "few.zarr", "vae/z.zarr"]
    assert [pair["shared"] for pair in document["pairs"]] == [0, 120, 0]
    assert document["pairs"][1]["cka"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("few.zarr",), 2, "expected two stores or more"),
        (("few.zarr", "few.zarr"), 2, "few.zarr is given twice"),
        (("few.zarr", "./few.zarr"), 2, "are the same store"),
        (("few.zarr", "none.zarr"), 4, "none.zarr does not exist"),
        (("few.zarr", "ae/z.zarr", "--nearest", "0"), 2, "--nearest 0"),
        (("few.zarr", "ae/z.zarr", "--nearest", "40", "--sample", "40"), 2, "--nearest 40: expected fewer"),
        (("few.zarr", "ae/z.zarr", "--plot", "a.gif"), 2, "--plot a.gif"),
    ],
)
def test_errors(
    latentscan: Command, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = latentscan("compare", *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert not done.stdout

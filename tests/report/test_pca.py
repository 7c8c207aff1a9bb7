from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.analyses.pca import pca
from latentscan.encoding.ingest import ingest
from latentscan.report.pca import pca_json, pca_plot, pca_table
from latentscan.report.style import save_figure
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result

RNG = np.random.default_rng(0)
ROUND = RNG.standard_normal((3000, 20))
UNEVEN = ROUND * 0.6 ** np.arange(20)
TURNED = UNEVEN @ np.linalg.qr(RNG.standard_normal((20, 20)))[0]
TWO_SHELLS = ROUND * np.where(np.arange(3000) % 2, 1, 4)[:, None]


def found(folder: Path, z: NDArray[Any], name: str = "z.zarr") -> Result:
    np.save(folder / f"{name}.npy", z.astype(np.float32))
    ingest({"z": folder / f"{name}.npy"}, str(folder / name))
    return pca(open_store(str(folder / name)))


def shown(results: dict[str, Result]) -> str:
    stream = StringIO()
    Console(file=stream, width=80).print(pca_table(results))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("z", "sentence"),
    [
        (ROUND, "a round Gaussian with the measured mean and one variance explains"),
        (UNEVEN, "without any correlation"),
        (TURNED, "a Gaussian explains the radii, with the measured mean and covariance"),
        (TWO_SHELLS, "no Gaussian explains the radii"),
        (np.ones((3, 2)), "all radii are equal"),
    ],
    ids=["round", "uneven", "turned", "shells", "equal"],
)
def test_the_table_says_which_gaussian_explains_the_radii(
    tmp_path: Path, z: NDArray[Any], sentence: str
) -> None:
    result = found(tmp_path, z)
    text = shown({"z.zarr": result})
    assert sentence in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    document = json.loads(json.dumps(pca_json(result), allow_nan=False))
    assert document["radius"]["laws"].keys() == {"full", "diagonal", "isotropic"}
    assert sum(document["radius"]["histogram"]) == len(z)
    save_figure(pca_plot({"z.zarr": result}), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_stores_stand_side_by_side(tmp_path: Path) -> None:
    clouds = {"one.zarr": ROUND, "two.zarr": 100 * TURNED}
    results = {name: found(tmp_path, z, name) for name, z in clouds.items()}
    text = shown(results)
    assert max(map(len, text.splitlines())) <= 80
    for name in results:
        assert f"{name}: " in text
    drawing = pca_plot(results)
    spectrum, radius = drawing.axes
    assert spectrum.get_yscale() == "log"
    assert len(spectrum.lines) == 2
    assert len(radius.lines) == 6
    save_figure(drawing, tmp_path / "two.svg")

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.report.pca import figure, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.results import Result

RNG = np.random.default_rng(0)
ROUND = RNG.standard_normal((3000, 20))
UNEVEN = ROUND * 0.6 ** np.arange(20)
TURNED = UNEVEN @ np.linalg.qr(RNG.standard_normal((20, 20)))[0]
TWO_SHELLS = ROUND * np.where(np.arange(3000) % 2, 1, 4)[:, None]


def result_of(location: Path, z: NDArray[Any]) -> Result:
    return analyse(build_store(location, arrays={"z": z}, chunk_rows=770), "pca")


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
    result = result_of(tmp_path / "z.zarr", z)
    assert sentence in " ".join(shown(table({"z.zarr": result})).split())
    document = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert document["radius"]["laws"].keys() == {"full", "diagonal", "isotropic"}
    assert sum(document["radius"]["histogram"]) == len(z)
    drawing = figure({"z.zarr": result})
    assert {"principal axis", "radius (L2 norm of a row)"} <= words_of(drawing)
    spectrum, radius = drawing.axes
    drawn = np.asarray(spectrum.lines[0].get_ydata(), float)
    np.testing.assert_array_equal(drawn, np.where(result["eigenvalue"] > 0, result["eigenvalue"], np.nan))
    (histogram,) = radius.patches
    shares = histogram.get_data().values * np.diff(result["radius_edge"])  # type: ignore[attr-defined]
    assert shares.sum() == pytest.approx(100)
    assert [str(line.get_label()).split(":")[0] for line in radius.lines] == result["law"].tolist()


@pytest.mark.parametrize("times", [2.9, 3.1, 9])
def test_a_peak_is_said_to_be_cut_off_where_it_is(tmp_path: Path, times: float) -> None:
    found = result_of(tmp_path / "z.zarr", ROUND)
    measured = found["radius_histogram"] / found["radius_histogram"].sum()
    law = np.zeros_like(found["radius_law"])
    law[:, measured.argmax()] = times * measured.max()
    radius = figure(
        {
            "z.zarr": replace(
                found,
                variables={
                    **found.variables,
                    "radius_law": replace(found.variables["radius_law"], values=law),
                },
            )
        }
    ).axes[1]
    highest = max(np.max(line.get_ydata()) for line in radius.lines)
    assert any("cut off" in text.get_text() for text in radius.texts) == (highest > radius.get_ylim()[1])


def test_stores_stand_side_by_side(tmp_path: Path) -> None:
    clouds = {"one.zarr": ROUND, "two.zarr": 100 * TURNED}
    results = {name: result_of(tmp_path / name, z) for name, z in clouds.items()}
    text = shown(table(results))
    for name in results:
        assert f"{name}: " in text
    spectrum, radius = figure(results).axes
    assert spectrum.get_yscale() == "log"
    assert len(spectrum.lines) == 2
    assert len(radius.lines) == 6
    colours = [[line.get_color() for line in radius.lines[start : start + 3]] for start in (0, 3)]
    assert [set(three) for three in colours] == [{line.get_color()} for line in spectrum.lines]

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.report.pca import figure, table, to_json
from latentscan.store.results import Variable
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
        (ROUND, "a Gaussian with the measured mean and one variance"),
        (UNEVEN, "(correlations are not needed for them, and may exist)"),
        (TURNED, "a Gaussian with the measured mean and covariance"),
        (TWO_SHELLS, "none of the three Gaussians has these radii"),
        (ROUND[:12], "it is undecided whether a Gaussian has these radii"),
        (np.ones((3, 2)), "all radii are equal"),
    ],
    ids=["round", "uneven", "turned", "shells", "few", "equal"],
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
    values, edges, _ = histogram.get_data()  # type: ignore[attr-defined]
    shares = values * np.diff(edges)
    assert shares.sum() == pytest.approx(100)
    assert [str(line.get_label()).split(":")[0] for line in radius.lines] == result["law"].tolist()


def test_gaussians_that_are_equally_close_are_all_named(tmp_path: Path) -> None:
    result = result_of(tmp_path / "z.zarr", TWO_SHELLS)
    distances = result["wasserstein_distance"].copy()
    distances[:2] = 2 * distances.max()
    variables = {**result.variables, "wasserstein_distance": Variable(("law",), distances)}
    names = result["law"].tolist()
    text = " ".join(shown(table({"z.zarr": replace(result, variables=variables)})).split())
    assert f"the closest, {names[2]}, is " in text
    distances[:] = distances.max()
    text = " ".join(shown(table({"z.zarr": replace(result, variables=variables)})).split())
    assert f"the closest, {names[0]}, {names[1]} and {names[2]}, are " in text


def test_clusters_with_the_radii_of_a_gaussian_are_not_called_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((12, 64)) * 12 / np.sqrt(2 * 64)  # 12 standard deviations apart
    clusters = centres[rng.integers(0, 12, 6000)] + rng.standard_normal((6000, 64))
    result = result_of(tmp_path / "z.zarr", clusters)
    said = " ".join(shown(table({"z.zarr": result})).split())
    assert "the radii are those of a Gaussian" in said
    assert "says little of the cloud's shape" in said
    assert "clusters and filaments have such radii too: the gap of kmeans, axes and tsne can see" in said
    assert "explains" not in said


def test_intervals_stand_beside_the_figures(tmp_path: Path) -> None:
    result = result_of(tmp_path / "vae.zarr", ROUND)
    document = to_json(result)
    low, high = document["participation_ratio_interval"]
    assert low < document["participation_ratio"] < high
    half = (high - low) / 2
    assert 0.01 < half < 1
    text = shown(table({"vae.zarr": result}))
    assert f"{document['participation_ratio']:.2f} ± {half:.1g}" in text
    words = " ".join(words_of(figure({"vae.zarr": result})))
    assert f"vae.zarr, z: participation ratio {document['participation_ratio']:.2f} ± {half:.1g}" in words
    for law in document["radius"]["laws"].values():
        low, high = law["wasserstein_interval"]
        assert low < law["wasserstein_distance"] < high


def test_eigenvalues_that_are_rounding_are_marked(tmp_path: Path) -> None:
    flat = np.concatenate([ROUND[:, :3], np.ones((3000, 2))], axis=1)
    result = result_of(tmp_path / "z.zarr", flat)
    assert to_json(result)["below_the_floor"] == 2
    text = " ".join(shown(table({"z.zarr": result})).split())
    assert "eigenvalues that are rounding 2 (below 1e-15)" in text
    assert any("2 of 5 are 0" in words for words in words_of(figure({"z.zarr": result})))
    noise = np.maximum(result["eigenvalue"], result.attributes["eigenvalue_floor"] / 3)
    held = {**result.variables, "eigenvalue": replace(result.variables["eigenvalue"], values=noise)}
    drawn = words_of(figure({"z.zarr": replace(result, variables=held)}))
    assert any("rounding" in words for words in drawn)


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


def test_components_of_variance_zero_are_counted_and_no_text_is_cut_off(tmp_path: Path) -> None:
    flat = np.concatenate([ROUND[:, :3], np.zeros((3000, 17))], axis=1)
    results = {name: result_of(tmp_path / name, flat) for name in ("one.zarr", "two.zarr", "three.zarr")}
    drawing = figure(results)
    assert any("17 of 20 are 0" in words for words in words_of(drawing))
    drawing.draw_without_rendering()
    width = drawing.bbox.width
    for axes in drawing.axes:
        legend = axes.get_legend()
        assert legend is not None
        assert legend.get_window_extent().x1 <= width

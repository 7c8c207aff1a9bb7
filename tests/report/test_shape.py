from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.report.shape import figure, noticed, section, table, to_json
from tests.analyses.shape.clouds import clusters, ellipsoid, filaments, heavy
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result

CLOUDS = {
    "gaussian": ellipsoid(400, 8),
    "heavy": heavy(400, 8),
    "clusters": clusters(400, 24, 9, 6),
    "lines": filaments(400, 24),
    "point": np.ones((30, 3)),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Results of clouds of known shapes."""
    folder = tmp_path_factory.mktemp("shape")
    return {
        name: analyse(
            build_store(folder / name, arrays={"z": x.astype(np.float32)}, chunk_rows=150), "shape", twins=6
        )
        for name, x in CLOUDS.items()
    }


def test_sentences_name_what_lies_outside_and_nothing_else(results: dict[str, Result]) -> None:
    said = {name: noticed(result)[0] for name, result in results.items()}
    assert said["gaussian"] == "One Gaussian ellipsoid as far as tails, axes, neighbours and dimension show."
    assert said["heavy"].startswith("Not one Gaussian ellipsoid: heavy tails (kurtosis ")
    assert "clusters" not in said["heavy"]
    assert "clusters or other structure between images (own neighbours 0." in said["clusters"]
    assert "tails" not in said["clusters"]
    assert "filaments, sheets or tight groups (dimension " in said["lines"]
    assert said["point"] == "All points are equal, so they have no shape."


def test_a_small_difference_is_nearly_none(results: dict[str, Result]) -> None:
    result = results["gaussian"]
    changed = {name: variable.values.copy() for name, variable in result.variables.items()}
    try:
        result["outside"][0], result["outside_matched"][0] = True, True
        assert noticed(result)[0].startswith("Nearly one Gaussian ellipsoid: ")
    finally:
        for name in ("outside", "outside_matched"):
            result[name][:] = changed[name]


def test_the_document_has_the_effects_beside_those_of_the_twins(results: dict[str, Result]) -> None:
    document = json.loads(json.dumps(to_json(results["clusters"]), allow_nan=False))
    found = document["effects"]["neighbours"]
    assert found["gaussian"]["outside"]
    assert found["gaussian"]["interval"][0] is None
    assert found["gaussian"]["mean"] < found["gaussian"]["interval"][1] < found["value"]
    assert found["error"] > 0
    assert document["sampled"] == 400
    assert len(document["dimension"]["gaussian"]) == len(document["dimension"]["scale"]) == 7
    json.dumps(to_json(results["point"]), allow_nan=False)


def test_the_table_fits_a_terminal_and_says_of_how_many_images_it_is(results: dict[str, Result]) -> None:
    lines = shown(table(results)).splitlines()
    assert lines[0] == "gaussian: z, 400 of 400 images, beside 6 Gaussian twins"
    rows = [line for line in lines if line.startswith("tails (kurtosis)")]
    assert [row.split()[-1] for row in rows[:3]] == ["within", "outside", "within"]
    assert "nan" not in " ".join(lines)


def test_the_section_names_the_store_and_the_array(results: dict[str, Result]) -> None:
    found = section(results)
    assert found.verdicts[0] == (
        "gaussian: z is one Gaussian ellipsoid as far as tails, axes, neighbours and dimension show."
    )
    assert found.verdicts[-1] == "point: All points are equal, so they have no shape."
    assert any("A Gaussian core would hold" in sentence for sentence in found.details)


def test_the_figure_has_four_panels_a_store(results: dict[str, Result]) -> None:
    some = {name: results[name] for name in ("clusters", "point")}
    drawing = figure(some)
    assert len(drawing.axes) == 4 * len(some)
    first = drawing.axes[0]
    (container,) = first.containers
    places = container[0].get_xdata()
    assert places[2] > 1 > abs(places[0])
    words = words_of(drawing)
    assert "own neighbours" in words
    assert any(word.startswith("clusters, z: Not one Gaussian") for word in words)


def test_a_low_dimension_of_the_nearest_images_may_be_due_to_pairs(tmp_path: Path) -> None:
    z = np.random.default_rng(4).standard_normal((1500, 16)).astype(np.float32)
    z[700:740] = z[:40] + 0.05
    found = analyse(build_store(tmp_path / "z.zarr", arrays={"z": z}), "shape", twins=6)
    assert found.attributes["lowest_scale"] == 0
    assert noticed(found)[0].endswith(", of the two nearest images, which near-duplicates lower).")


def test_images_that_repeat_others_are_named_and_left_out(tmp_path: Path) -> None:
    z = np.random.default_rng(4).standard_normal((1500, 16)).astype(np.float32)
    z[700:740] = z[:40] + 1e-4
    found = analyse(build_store(tmp_path / "z.zarr", arrays={"z": z}), "shape", twins=6)
    said = noticed(found)
    assert said[0] == "One Gaussian ellipsoid as far as tails, axes, neighbours and dimension show."
    assert "40 images repeat another one, nearly or to the bit, of 1,500: left out of the shape." in said

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.report.stats import figure, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatentStore]:
    """The stores of an AE and of a VAE."""
    folder = tmp_path_factory.mktemp("stats")
    mu = 3 * np.random.default_rng(0).standard_normal((300, 40))
    of_vae = {"mu": mu, "logvar": 0 * mu - 9, "z": mu + 0.01}
    return {
        "ae.zarr": build_store(folder / "ae.zarr", arrays={"z": of_vae["z"]}, chunk_rows=77),
        "vae.zarr": build_store(folder / "vae.zarr", arrays=of_vae, chunk_rows=110),
    }


@pytest.fixture(scope="module")
def results(stores: dict[str, LatentStore]) -> dict[str, Result]:
    return {name: analyse(store, "stats") for name, store in stores.items()}


def test_the_table_says_what_is_missing(results: dict[str, Result]) -> None:
    text = shown(table(results))
    assert "ae.zarr lacks the arrays for: radius of mu" in text
    for title in ("radius of z", "deviation |z", "logvar", "KL from N(0, 1)"):
        assert title in text


def test_the_histogram_says_what_it_does_not_show(stores: dict[str, LatentStore]) -> None:
    short = analyse(stores["vae.zarr"], "stats", upper=18)
    beyond = [int(count) for count in short["radius_overflow"]]
    assert min(beyond) > 100
    text = shown(table({"vae.zarr": short}))
    assert "beyond `upper` at 18" in text
    assert text.count(" (to 18)\n") == 2  # the peaks of z and mu
    assert {
        f"{name} ({count} beyond 18)" for name, count in zip(("mu", "z"), beyond, strict=True)
    } <= words_of(figure({"vae.zarr": short}))


def test_the_peak_of_a_whole_histogram_is_all_that_is_shown(results: dict[str, Result]) -> None:
    assert not any(int(count) for result in results.values() for count in result["radius_overflow"])
    assert "(to" not in shown(table(results))


def test_more_bins_than_columns_are_drawn_together(stores: dict[str, LatentStore]) -> None:
    wide = analyse(stores["vae.zarr"], "stats", upper=1000, width=0.5)
    text = shown(table({"vae.zarr": wide}))
    assert "beyond" not in text
    assert text.splitlines()[-1].split()[:3] == ["0", "145", "290"]  # 29 bins a column


@pytest.mark.parametrize(("upper", "width"), [(10000, 1000), (35, 0.1234), (1, 1), (1e6, 20)])
def test_the_histogram_copes_with_any_bins(
    stores: dict[str, LatentStore], upper: float, width: float
) -> None:
    text = shown(table({"vae.zarr": analyse(stores["vae.zarr"], "stats", upper=upper, width=width)}))
    assert text.splitlines()[-1].split()[0] == "0"


def test_the_document_is_json(results: dict[str, Result]) -> None:
    document = json.loads(json.dumps(to_json(results["vae.zarr"]), allow_nan=False))
    keys = ("images", "rejected", "unwritten", "components", "moments", "logvar", "deviation", "radius", "kl")
    assert document.keys() == set(keys)
    assert document["kl"]["active_components"] == 40
    alone = json.loads(json.dumps(to_json(results["ae.zarr"]), allow_nan=False))
    assert alone.keys() == set(keys) - {"logvar", "deviation", "kl"}


def test_the_figure_shows_every_radius_once(results: dict[str, Result]) -> None:
    drawing = figure(results)
    (axes,) = drawing.axes
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [patch.get_label() for patch in outlines] == ["ae.zarr, z", "vae.zarr, mu", "vae.zarr, z"]
    assert [patch.get_linestyle() for patch in outlines] == ["-", "--", "-"]
    for patch, (name, array) in zip(
        outlines, (("ae.zarr", "z"), ("vae.zarr", "mu"), ("vae.zarr", "z")), strict=True
    ):
        result = results[name]
        counts = result["radius_histogram"][result["array"].tolist().index(array)]
        values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
        np.testing.assert_allclose(values, 100 * counts / 300)
        np.testing.assert_array_equal(edges, result["radius_edge"])
    assert {"radius (L2 norm of a row)", "ae.zarr, z"} <= words_of(drawing)

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.report.stats import figure, table, to_json
from tests.builders import analyse, build_store
from tests.report.rendering import shown, words_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatentStore]:
    """The stores of an AE and of a VAE."""
    folder = tmp_path_factory.mktemp("stats")
    mu, noise = np.random.default_rng(0).standard_normal((2, 300, 40)) * [[[3]], [[1]]]
    of_vae = {"mu": mu, "logvar": 0 * mu - 9, "z": mu + np.exp(-4.5) * noise}
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


def test_counts_are_said_of_how_many(tmp_path: Path) -> None:
    mu = np.random.default_rng(0).standard_normal((300, 40))
    arrays = {"mu": mu, "logvar": 0 * mu - 1, "z": mu + 0.1}
    store = build_store(tmp_path / "z.zarr", arrays=arrays, rejected=(7,))
    text = " ".join(shown(table({"z.zarr": analyse(store, "stats")})).split())
    assert "rejected 1 of 300" in text
    assert "above 0.05: 11,960 of 11,960" in text
    assert "within [-3,5]: 11,960 of 11,960" in text
    assert "components with a gap in their values 0 of 40" in text


def test_the_histogram_says_what_it_does_not_show(stores: dict[str, LatentStore]) -> None:
    short = analyse(stores["vae.zarr"], "stats", upper=18)
    beyond = [int(count) for count in short["radius_overflow"]]
    assert min(beyond) > 100
    text = shown(table({"vae.zarr": short}))
    assert "beyond 18" in text
    assert text.count(", bins to 18\n") == 2  # the peaks of z and mu
    words = " ".join(words_of(figure({"vae.zarr": short})))
    assert all(f"({count} beyond 18)" in words for count in beyond)


def test_one_image_far_out_is_named_and_widens_no_bin(tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((500, 9))
    z[3] = 1e6
    found = analyse(build_store(tmp_path / "z.zarr", arrays={"z": z}, chunk_rows=90), "stats")
    assert found["radius_edge"][-1] < 20
    assert "1 beyond" in shown(table({"z.zarr": found}))
    assert any("(1 beyond" in words for words in words_of(figure({"z.zarr": found})))
    radii = np.linalg.norm(z, axis=1)
    near = np.sort(radii)[249]
    assert found["radius_quantile"][0, 4] == pytest.approx(near, rel=1e-4)


def test_a_whole_histogram_is_all_that_is_shown(results: dict[str, Result]) -> None:
    assert not any(int(count) for result in results.values() for count in result["radius_overflow"])
    text = shown(table(results))
    assert "beyond" not in text
    assert "bins to" not in text


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
    beside = {"duplicates", "groups", "noise", "noticed"}
    assert document.keys() == set(keys) | beside
    active = document["kl"]["active_components"]
    assert active["by_variance"] == dict.fromkeys(("0.01", "0.02", "0.05", "0.1"), 40)
    assert active["by_kl"] == {"0.05": 40, "0.1": 40}
    assert 39 < active["effective_number"] <= 40
    alone = json.loads(json.dumps(to_json(results["ae.zarr"]), allow_nan=False))
    assert alone.keys() == (set(keys) | beside) - {"logvar", "deviation", "kl", "noise"}


def test_the_figure_shows_every_radius_once(results: dict[str, Result]) -> None:
    drawing = figure(results)
    panels = [axes for axes in drawing.axes if axes.get_xlabel().startswith("radius")]
    assert [axes.get_title("left") for axes in panels] == ["ae.zarr", "vae.zarr"]
    for axes, (name, result) in zip(panels, results.items(), strict=True):
        outlines = {
            str(patch.get_label()).split(":")[0]: patch for patch in axes.patches if not patch.get_fill()
        }
        assert outlines.keys() == set(result["array"].tolist()), name
        assert len({patch.get_edgecolor() for patch in outlines.values()}) == len(outlines)
        for array, patch in outlines.items():
            counts = result["radius_histogram"][result["array"].tolist().index(array)]
            values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
            np.testing.assert_allclose(values, 100 * counts / 300)
            np.testing.assert_array_equal(edges, result["radius_edge"])
            assert counts.sum() == 300


def test_the_figure_shows_what_the_kl_loss_did(results: dict[str, Result]) -> None:
    drawing = figure({"vae.zarr": results["vae.zarr"]})
    _, logvar, kl = drawing.axes
    np.testing.assert_array_equal(logvar.lines[0].get_ydata(), np.sort(results["vae.zarr"]["logvar_mean"]))
    np.testing.assert_array_equal(kl.lines[0].get_ydata(), np.sort(results["vae.zarr"]["kl"])[::-1])
    assert {"logvar", "mean KL from N(0, 1), nat"} <= words_of(drawing)
    alone = figure({"ae.zarr": results["ae.zarr"]})
    assert len(alone.axes) == 1


def sentences(tmp_path: Path, **arrays: Any) -> list[str]:
    store = build_store(tmp_path / "z.zarr", arrays=arrays, chunk_rows=700)
    found: list[str] = to_json(analyse(store, "stats"))["noticed"]
    return found


RNG = np.random.default_rng(7)
MU, NOISE = RNG.standard_normal((2, 3000, 6))
LOGVAR = -2 + 0.5 * RNG.standard_normal((3000, 6))


def test_nothing_is_noticed_of_what_is_as_it_should_be(tmp_path: Path) -> None:
    assert sentences(tmp_path, mu=MU, logvar=LOGVAR, z=MU + np.exp(LOGVAR / 2) * NOISE) == []


def test_two_groups_in_the_wings_of_a_component_are_named(tmp_path: Path) -> None:
    mu = MU.copy()
    mu[:200, 4] += 9
    mu[200:400, 4] -= 9
    (said,) = sentences(tmp_path, z=mu)
    assert "falls into groups" in said
    assert "component 4 (a gap at " in said
    assert "parts off 6.7 %" in said


def test_rows_that_repeat_others_are_counted(tmp_path: Path) -> None:
    mu = MU.copy()
    mu[1000:1500] = mu[:500]
    mu[2000] = mu[7]
    (said,) = sentences(tmp_path, mu=mu, logvar=LOGVAR, z=mu + np.exp(LOGVAR / 2) * NOISE)
    assert said.startswith("501 of 3,000 rows repeat an earlier one of mu to the bit; 3 images have")
    assert said.endswith("the row of image 7 (ünter/7.jpg).")


@pytest.mark.parametrize(
    ("stored", "reading"),
    [
        (-LOGVAR, "the negative log variance"),
        (LOGVAR / 2, "the log standard deviation"),
        (np.exp(LOGVAR), "the variance"),
        (np.exp(LOGVAR / 2), "the standard deviation"),
        (LOGVAR + 1, None),
    ],
    ids=["sign", "log sigma", "variance", "sigma", "other"],
)
def test_a_logvar_that_does_not_fit_is_noticed(tmp_path: Path, stored: Any, reading: str | None) -> None:
    (said,) = sentences(tmp_path, mu=MU, logvar=stored, z=MU + np.exp(LOGVAR / 2) * NOISE)
    assert said.startswith("z does not fit mu and logvar")
    assert ("it fits if" in said) == (reading is not None)
    assert said.endswith(f"is {reading}." if reading else "not all of z comes from this mu and logvar.")


def test_rows_of_other_images_are_not_taken_for_another_reading_of_logvar(tmp_path: Path) -> None:
    z = MU + np.exp(LOGVAR / 2) * NOISE
    z[:300] = z[:300][::-1].copy()
    (said,) = sentences(tmp_path, mu=MU, logvar=LOGVAR, z=z)
    assert said.startswith("z does not fit mu and logvar")
    assert said.endswith("not all of z comes from this mu and logvar.")


def test_z_without_noise_is_noticed(tmp_path: Path) -> None:
    (said,) = sentences(tmp_path, mu=MU, logvar=LOGVAR, z=MU)
    assert said.startswith("z equals mu")


def test_noise_whose_mean_is_off_is_said_of_its_mean(tmp_path: Path) -> None:
    logvar = 0 * MU - 2
    store = build_store(
        tmp_path / "z.zarr", arrays={"mu": MU, "logvar": logvar, "z": MU + 0.5 + np.exp(-1) * NOISE}
    )
    result = analyse(store, "stats")
    document = to_json(result)
    mean = document["noise"]["mean"]
    assert mean == pytest.approx(0.5 * np.exp(1), abs=0.03)
    (said,) = document["noticed"]
    assert said.endswith(f"(z − mu) / exp(logvar / 2) has the mean {mean:.2f}, expected 0.")
    text = " ".join(shown(table({"z.zarr": result})).split())
    assert f"mean, expected 0 {mean:.2f} mean square {document['noise']['variance']:.2f}" in text


def test_one_row_that_repeats_in_a_sample(tmp_path: Path) -> None:
    mu = MU.copy()
    mu[2000] = mu[7]
    result = analyse(build_store(tmp_path / "z.zarr", arrays={"z": mu}), "stats")
    sampled = replace(result, attributes={**result.attributes, "followed_rows": 1000})
    (said,) = to_json(sampled)["noticed"]
    assert said.startswith("1 of 1,000 rows repeats an earlier one of z to the bit (a random sample of the")
    assert "the store has 3,000); 2 images" in said

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from latentscan.report.collapse import figure, section, table, to_json
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.results import Result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    folder = tmp_path_factory.mktemp("collapse")
    rng = np.random.default_rng(0)
    scale = np.geomspace(2, 1e-3, 40)
    mu = rng.standard_normal((300, 40)) * scale
    arrays = {"mu": mu, "logvar": np.tile(np.log(1 / (1 + scale**2)), (300, 1)), "z": mu}
    vae = build_store(folder / "vae.zarr", arrays=arrays, chunk_rows=110)
    ae = build_store(folder / "ae.zarr", images=90, components=2, latents=("z",), chunk_rows=40)
    return {"vae.zarr": analyse(vae, "collapse"), "ae.zarr": analyse(ae, "collapse")}


def shown(results: dict[str, Result]) -> list[str]:
    stream = StringIO()
    Console(file=stream, width=80).print(table(results))
    return stream.getvalue().splitlines()


def test_a_json_document(results: dict[str, Result]) -> None:
    documents = {name: to_json(result) for name, result in results.items()}
    json.dumps(documents, allow_nan=False)
    vae, ae = documents.values()
    assert vae["active"]["by_variance"]["0.1"] == int((results["vae.zarr"]["variance"] > 0.1).sum())
    assert len(vae["per_component"]["signal_share"]) == 40
    assert vae["closed_forms"]["radius_difference"]["measured"] == 0
    assert vae["missing"] == []
    assert set(ae) & {"kl", "closed_forms"} == set()
    assert len(ae["missing"]) == 3


def test_the_table_is_sorted_and_cut(results: dict[str, Result]) -> None:
    lines = shown({"vae.zarr": results["vae.zarr"]})
    assert max(map(len, lines)) <= 80
    start = next(number for number, line in enumerate(lines) if line.startswith("component"))
    rows = [line.split() for line in lines[start + 1 : start + 14]]
    assert rows[9][:2] == ["...", "28"]
    listed = [int(row[0]) for row in rows if row[0].isdigit()]
    assert listed == np.argsort(-results["vae.zarr"]["kl"], kind="stable")[[*range(9), -3, -2, -1]].tolist()


def test_an_autoencoder_has_what_is_missing_named(results: dict[str, Result]) -> None:
    text = " ".join(" ".join(shown({"ae.zarr": results["ae.zarr"]})).split())
    assert "effective dimension of z" in text
    assert "cannot be said: noise and signal share (no logvar); KL" in text
    assert "z against mu" not in text


def test_curves_fall_and_noise_lies_beside_its_component(results: dict[str, Result]) -> None:
    variances, kls = figure({"vae.zarr": results["vae.zarr"]}).axes
    signal, noise = (np.asarray(line.get_ydata(), float) for line in variances.lines)
    by_variance = np.argsort(-results["vae.zarr"]["variance"], kind="stable")
    np.testing.assert_allclose(signal, results["vae.zarr"]["variance"][by_variance])
    np.testing.assert_allclose(noise, results["vae.zarr"]["noise_variance"][by_variance])
    assert (np.diff(np.asarray(kls.lines[0].get_ydata(), float)) <= 0).all()
    assert (variances.get_yscale(), kls.get_yscale()) == ("log", "log")


def test_several_stores_have_a_legend_and_an_autoencoder_has_no_kl(results: dict[str, Result]) -> None:
    variances, kls = figure(results).axes
    assert len(variances.lines) == 3
    assert len(kls.lines) == 1
    _handles, labels = variances.get_legend_handles_labels()
    assert "ae.zarr, variance of z" in labels
    (alone,) = figure({"ae.zarr": results["ae.zarr"]}).axes
    assert alone.get_yscale() == "linear"


def test_what_is_collapsed_is_said_by_the_usual_threshold(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mu = rng.standard_normal((400, 10)) * 0.6  # a variance of 0.36
    whole = build_store(tmp_path / "whole.zarr", arrays={"mu": mu, "logvar": mu * 0 - 3, "z": mu})
    held = np.arange(10) < 3
    gone = build_store(
        tmp_path / "gone.zarr", arrays={"mu": mu * held, "logvar": np.where(held, -3, 0) + mu * 0, "z": mu}
    )
    found = {"whole": analyse(whole, "collapse"), "gone": analyse(gone, "collapse")}
    first, second = section(found).verdicts
    assert first == (
        "whole: no component is collapsed, all 10 are active "
        "(variance of mu above 0.01; 0 to 10 for limits from 0.001 to 0.5)."
    )
    assert second.startswith(
        "gone: 7 of 10 components are collapsed, 3 are active (variance of mu above 0.01;"
    )
    variances, kls = figure(found).axes
    drawn = [np.asarray(kls.lines[1].get_ydata()), np.asarray(variances.lines[2].get_ydata())]
    for values in drawn:
        assert (values == 0).sum() == 7, "what is collapsed is drawn, at 0"
    for axes in (variances, kls):
        bottom = axes.transData.transform((1, 0))[1]
        assert axes.bbox.y0 < bottom < axes.bbox.y1

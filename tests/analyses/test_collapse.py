from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import latentscan as ls
from latentscan.errors import ParameterError
from latentscan.kernels.epsilon import epsilon, z_points
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

IMAGES, LIMIT, FACTOR = 6000, 2.0, 1.0
LIVE, HALF, DEAD, COPIES = range(4), range(4, 6), range(6, 10), range(10, 12)


def planted() -> dict[str, np.ndarray]:
    """Components that hold an image's value, half of it, nothing, and the same as the first one."""
    rng = np.random.default_rng(3)
    mu = rng.standard_normal((IMAGES, 12))
    mu[:, HALF] *= np.sqrt(0.5)
    mu[:, DEAD] *= 1e-3
    mu[:, COPIES] = mu[:, [0]] * [1.0, -1.0]
    variance = np.full(12, 0.04)
    variance[HALF], variance[DEAD] = 0.5, 1.0
    logvar = np.log(variance) + 0.05 * rng.standard_normal((IMAGES, 12))
    latents = {"mu": mu.astype(np.float32), "logvar": logvar.astype(np.float32)}
    noise = epsilon(0, 0, IMAGES, 12, LIMIT)
    return {**latents, "z": z_points(latents["mu"], latents["logvar"], noise, FACTOR)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    location = tmp_path_factory.mktemp("collapse") / "z.zarr"
    noise = {"epsilon_limit": LIMIT, "epsilon_factor": FACTOR}
    return build_store(location, arrays=planted(), chunk_rows=1700, rejected=[7], provenance=noise)


@pytest.fixture(scope="module")
def found(store: LatentStore) -> Result:
    return analyse(store, "collapse", variances=(0.01, 0.7), kls=(0.01, 0.5))


def test_components_are_what_they_were_planted_as(found: Result) -> None:
    share = found["signal_share"]
    assert share[LIVE] == pytest.approx(1 / 1.04, abs=0.01)
    assert share[HALF] == pytest.approx(0.5, abs=0.02)
    assert share[DEAD] == pytest.approx(0, abs=1e-4)
    assert found["noise_variance"][HALF] == pytest.approx(0.5, rel=0.02)


def test_thresholds_count_them(found: Result) -> None:
    assert found["active_by_variance"].tolist() == [8, 6]  # dead ones by none, half-dead ones by one
    assert found["active_by_kl"].tolist() == [8, 6]


def test_copies_are_active_but_no_dimension(found: Result) -> None:
    values = np.array([3.0, 1, 1, 1, 0.5, 0.5])  # variances along the axes: the first with its two copies
    expected = values.sum() ** 2 / np.sum(values**2)
    assert found.attributes["effective_dimension"] == pytest.approx(expected, rel=0.05)
    assert 6 < found.attributes["effective_kl"] < 8


def test_points_on_a_line_have_one_dimension(tmp_path: Path) -> None:
    line = np.random.default_rng(0).standard_normal((500, 1)) * np.linspace(1, 3, 8)
    arrays = {"mu": line, "logvar": np.full((500, 8), -4.0), "z": line}
    found = analyse(build_store(tmp_path / "line.zarr", arrays=arrays, chunk_rows=170), "collapse")
    assert found["active_by_variance"][0] == 8
    assert found.attributes["effective_dimension"] == pytest.approx(1)


def test_closed_forms_are_what_is_measured(found: Result) -> None:
    np.testing.assert_allclose(found["expected_deviation"], found["deviation"], rtol=0.04)
    above, expected = found["deviation_above"].sum(), found["expected_deviation_above"].sum()
    assert expected == pytest.approx(above, rel=0.01)
    radius, expected_radius = (found.attributes[f"{name}radius_difference"] for name in ("", "expected_"))
    assert expected_radius == pytest.approx(radius, rel=0.02)
    assert found.attributes["epsilon_limit"] == LIMIT


def test_the_sum_of_kl_is_that_of_stats(store: LatentStore, found: Result) -> None:
    np.testing.assert_allclose(found["kl"], analyse(store, "stats")["kl"], rtol=1e-6)
    assert found.attributes["images"] == IMAGES
    assert found.attributes["rejected"] == 1


def test_an_autoencoder_gets_what_can_be_said(tmp_path: Path) -> None:
    arrays = {"z": planted()["mu"]}
    found = analyse(
        build_store(tmp_path / "ae.zarr", arrays=arrays, chunk_rows=1000), "collapse", variances=(0.01, 0.7)
    )
    assert found.attributes["points"] == "z"
    assert found["active_by_variance"].tolist() == [8, 6]
    assert "kl" not in found
    assert [text.split(" (")[0] for text in found.attributes["missing"]] == [
        "noise and signal share",
        "KL",
        "deviations of z from mu",
    ]


def test_noise_that_a_store_does_not_know_is_not_clipped(tmp_path: Path) -> None:
    found = analyse(build_store(tmp_path / "z.zarr", images=60, chunk_rows=17), "collapse")
    assert (found.attributes["epsilon_limit"], found.attributes["epsilon_factor"]) == (None, 1.0)


@pytest.mark.parametrize(("field", "value"), [("variances", ()), ("kls", (-1.0,)), ("threshold", 0.0)])
def test_thresholds_that_count_nothing(store: LatentStore, field: str, value: Any) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(ParameterError) as raised:
        ls.collapse(store, **given, progress=False)
    assert raised.value.field == field

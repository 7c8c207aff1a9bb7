from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import latentscan as ls
from latentscan.analyses.logvar import verdict_of
from latentscan.errors import ParameterError, UsageError
from latentscan.kernels.curvature import Agreement, Figure
from tests.analyses.decoders import planted
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

    from tests.analyses.decoders import Planted


def compared(of: Planted, **given: Any) -> xarray.Dataset:
    return ls.logvar(of.store, of.encoder, of.decoder, progress=False, **given)


def test_the_curvature_is_the_closed_form_and_logvar_that_settled_there_has_converged(tmp_path: Path) -> None:
    of = planted(tmp_path, fact=0.1, noise=0.05)
    found = compared(of, fact=0.1)
    rows = found.image.values
    assert len(rows) == 60
    assert 3 not in rows  # it was rejected
    np.testing.assert_allclose(found.curvature, of.curvature[rows], rtol=2e-3)
    assert found.attrs["step_change"] < 0.01
    assert found.attrs["verdict"] == "converged"
    assert found.attrs["reconstruction"] == "bce"
    _, low, high = found.attrs["slope"]
    assert low < 1 < high
    assert high - low < 0.05
    assert found.expected_median.values.tolist() == sorted(found.expected_median.values.tolist())


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ({"noise": 3.0}, "not converged"),
        ({"offset": 2.0, "noise": 0.05}, "not converged"),
        ({"offset": 0.5, "noise": 0.3}, "undecided"),
    ],
)
def test_logvar_that_is_elsewhere_has_not(tmp_path: Path, how: dict[str, Any], verdict: str) -> None:
    assert compared(planted(tmp_path, fact=0.1, **how), fact=0.1).attrs["verdict"] == verdict


def test_the_loss_decides_what_is_expected(tmp_path: Path) -> None:
    of = planted(tmp_path, fact=0.1)
    one, other = compared(of, fact=0.1), compared(of, fact=1e-4)
    assert other.attrs["verdict"] == "not converged"
    np.testing.assert_array_equal(one.curvature, other.curvature)
    squared = compared(of, fact=0.1, reconstruction="mse")
    assert (squared.curvature.values < one.curvature.values).all()


def test_components_of_the_largest_kl_are_looked_at_where_there_are_too_many(tmp_path: Path) -> None:
    of = planted(tmp_path, fact=0.1)
    assert compared(of, fact=0.1, components=2, sample=20).component.values.tolist() == [0, 1]


def test_the_decoder_alone_is_enough_where_the_factor_is_given(tmp_path: Path) -> None:
    of = planted(tmp_path, fact=0.1)
    alone = ls.logvar(of.store, of.decoder, fact=0.1, sample=20, progress=False)
    np.testing.assert_array_equal(alone.curvature, compared(of, fact=0.1, sample=20).curvature)


@pytest.mark.timeout(120)
def test_logvar_of_a_vae_settles_where_the_curvature_says(tmp_path: Path) -> None:
    from latentscan.encoding.encode import encode_images
    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.images.open import open_images
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.parameters import TrainParameters
    from latentscan.models.training import train

    (tmp_path / "images").mkdir()
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:16, :16] / 15 - 0.5
    for number in range(192):
        across, down = 6 * rng.uniform(-1, 1, 2)
        grey = np.rint(255 * (0.5 + 0.4 * np.tanh(across * x + down * y))).astype(np.uint8)
        Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(tmp_path / "images" / f"{number}.png")
    preprocessing = Preprocessing(size=16)
    parameters = TrainParameters(
        kind="vae",
        z_dim=4,
        filters=(8,),
        dense=(32,),
        epochs=30,
        batch_size=32,
        learning_rate=4e-3,
        fact=1,
    )
    train(open_images(tmp_path / "images", preprocessing), tmp_path / "run", parameters, preprocessing)
    store = str(tmp_path / "z.zarr")
    encode_images(str(tmp_path / "run"), str(tmp_path / "images"), store, EncodeParameters())
    found = ls.logvar(ls.open(store), tmp_path / "run", progress=False)
    assert found.attrs["decoder"] == "run"
    assert (found.attrs["fact"], found.attrs["reconstruction"]) == (1, "bce")
    assert found.attrs["correlation"][0] > 0.9
    assert abs(found.attrs["offset"][0]) < 0.4
    assert found.expected_median.values.min() < -2  # some component is used
    untrue = ls.logvar(ls.open(store), tmp_path / "run", fact=1e-4, progress=False)
    assert untrue.attrs["verdict"] == "not converged"


def test_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    of = planted(tmp_path, fact=0.1)
    with pytest.raises(UsageError, match=r"with which factor .* give fact"):
        compared(of)
    with pytest.raises(UsageError, match=r"is no run folder, .* decoder"):
        ls.logvar(of.store, of.encoder, progress=False)
    with pytest.raises(ParameterError, match="does not exist"):
        ls.logvar(of.store, of.encoder, tmp_path / "absent.keras", progress=False)
    with pytest.raises(ParameterError, match="written by an encoder"):
        ls.logvar(of.store, of.decoder, of.decoder, progress=False)
    provenance = {"encoder": of.store.attributes["encoder"]}
    alone = build_store(tmp_path / "ae.zarr", images=20, latents=("z",), provenance=provenance)
    with pytest.raises(UsageError, match="holds z only; expected mu and logvar"):
        ls.logvar(alone, of.encoder, of.decoder, fact=1, progress=False)
    few = build_store(tmp_path / "few.zarr", images=4, components=5, provenance=provenance)
    with pytest.raises(UsageError, match="has 4 good images; expected 8 or more"):
        ls.logvar(few, of.encoder, of.decoder, fact=1, progress=False)


def figure(value: float, half: float) -> Figure:
    return Figure(value, value - half, value + half)


@pytest.mark.parametrize(
    ("correlation", "slope", "offset", "spread", "verdict"),
    [
        ((0.97, 0.01), (0.95, 0.05), (-0.1, 0.1), 1, "converged"),
        ((0.91, 0.03), (0.95, 0.05), (-0.1, 0.1), 1, "undecided"),
        ((0.97, 0.01), (0.6, 0.1), (-0.1, 0.1), 1, "undecided"),
        ((0.97, 0.01), (0.5, 0.1), (-0.1, 0.1), 1, "not converged"),
        ((0.97, 0.01), (1.7, 0.1), (-0.1, 0.1), 1, "not converged"),
        ((0.97, 0.01), (1, 0.1), (-0.7, 0.1), 1, "not converged"),
        ((0.1, 0.2), (1, 0.1), (0, 0.1), 1, "not converged"),
        ((np.nan, np.nan), (np.nan, np.nan), (0, 0.1), 0, "undecided"),
        ((np.nan, np.nan), (np.nan, np.nan), (1, 0.1), 0, "not converged"),
    ],
)
def test_verdicts_say_what_the_intervals_allow(
    correlation: tuple[float, float],
    slope: tuple[float, float],
    offset: tuple[float, float],
    spread: float,
    verdict: str,
) -> None:
    how = Agreement(figure(*correlation), figure(0, 1), figure(*slope), figure(*offset))
    assert verdict_of(how, spread) == verdict

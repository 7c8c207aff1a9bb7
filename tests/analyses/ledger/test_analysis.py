"""The ledger on runs that were trained here, and on latents with known information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import latentscan as ls
from latentscan.analyses.ledger import ledger
from latentscan.errors import ParameterError, UsageError
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.store.reader import LatentStore

SIZE = 16


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(3)
    ramp = np.linspace(0, 1, SIZE)[:, None, None]
    for number in range(60):
        ends = rng.uniform(0, 255, (2, 3))
        pixels = np.broadcast_to(ends[0] * ramp + ends[1] * (1 - ramp), (SIZE, SIZE, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}.png")
    (folder / "30.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from latentscan.models.training import train

    parameters = TrainParameters(kind="vae", z_dim=3, filters=(4,), epochs=2, batch_size=8, fact=2.0)
    preprocessing = Preprocessing(size=SIZE)
    folder: Path = tmp_path_factory.mktemp("runs") / "vae"
    train(open_images(images, preprocessing), folder, parameters, preprocessing)
    return folder


@pytest.fixture(scope="module")
def store(images: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    location = str(tmp_path_factory.mktemp("stores") / "z.zarr")
    ls.encode(run, images, location, chunk_rows=16, progress=False)
    return ls.open(location)


def terms(dataset: Any) -> dict[str, float]:
    return dict(zip(dataset["term"].values.tolist(), dataset["value"].values.tolist(), strict=True))


def test_the_losses_are_those_that_the_training_logged(store: LatentStore, run: Path, images: Path) -> None:
    found = terms(ledger(store, str(run), str(images), progress=False))
    assert found["probe_reco"] == pytest.approx(found["probe_reco_logged"], rel=1e-5)
    assert found["probe_kl"] == pytest.approx(found["probe_kl_logged"], rel=1e-5)
    # all 59 good images are sampled, and they are those of the probe
    assert found["reconstruction"] == pytest.approx(found["probe_reco_logged"], rel=1e-5)
    assert found["kl"] == pytest.approx(found["probe_kl_logged"], rel=1e-5)
    assert found["kl_scaled"] == pytest.approx(2 * found["kl"])


def test_parts_add_up(store: LatentStore, run: Path, images: Path) -> None:
    found = terms(ledger(store, str(run), str(images), progress=False))
    assert found["floor"] + found["excess"] == pytest.approx(found["reconstruction"])
    assert found["excess"] / found["mean_image_excess"] == pytest.approx(found["excess_share"])
    assert found["kl_of_mu"] + found["kl_of_variance"] == pytest.approx(found["kl"])
    assert found["information"] + found["distance_from_prior"] == pytest.approx(found["kl"])
    assert found["information_limit"] == pytest.approx(np.log(59))
    both = found["gaussian_marginals"] + found["total_correlation"]
    assert both == pytest.approx(found["gaussian_kl"])
    target = np.stack(
        [np.asarray(Image.open(path)) for path in sorted(images.iterdir()) if path.stem != "30"]
    )
    x = target / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.nan_to_num(-x * np.log(x)) + np.nan_to_num(-(1 - x) * np.log(1 - x))
    assert found["floor"] == pytest.approx(entropy.mean(axis=-1).sum(axis=(1, 2)).mean())


def test_what_is_not_given_is_named(store: LatentStore, run: Path, images: Path) -> None:
    alone = ledger(store, progress=False)
    assert {"kl", "information", "gaussian_kl"} <= terms(alone).keys()
    assert "reconstruction" not in terms(alone)
    missing = " ".join(alone.attrs["missing"])
    assert "name the images" in missing
    assert "name the run folder" in missing
    without_model = ledger(store, None, str(images), progress=False)
    assert {"floor", "mean_image_excess"} <= terms(without_model).keys()
    assert "excess" not in terms(without_model)
    decoder = ledger(store, str(run / "decoder.keras"), str(images), progress=False)
    assert "excess" in terms(decoder)
    assert "probe_reco" not in terms(decoder)


def test_an_autoencoder_has_no_kl(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = build_store(tmp_path / "z.zarr", arrays={"z": rng.standard_normal((4000, 3))}, chunk_rows=1000)
    found = ledger(z, progress=False)
    assert set(terms(found)) == {
        "gaussian_kl",
        "gaussian_marginals",
        "total_correlation",
        "gaussian_floor",
    }
    assert terms(found)["gaussian_kl"] < 3 * terms(found)["gaussian_floor"]
    assert "no mu and logvar" in found.attrs["missing"][0]


def test_a_cloud_that_is_the_prior_has_information_alone(tmp_path: Path) -> None:
    """A Gaussian channel: what the KL is, is information; the interval holds the closed form."""
    rng = np.random.default_rng(1)
    mu = 0.8 * rng.standard_normal((6000, 2))
    arrays = {
        "mu": mu,
        "logvar": np.full_like(mu, np.log(0.36)),
        "z": mu + 0.6 * rng.standard_normal(mu.shape),
    }
    found = ledger(build_store(tmp_path / "z.zarr", arrays=arrays, chunk_rows=1000), progress=False)
    named = found.set_index(term="term") if "term" not in found.indexes else found
    value = {name: float(named["value"].sel(term=name)) for name in ("information", "distance_from_prior")}
    error = float(named["error"].sel(term="information"))
    assert abs(value["information"] - 2 * np.log(1 / 0.6)) < 3 * error
    assert abs(value["distance_from_prior"]) < 3 * float(named["error"].sel(term="distance_from_prior"))


def test_another_model_or_other_images_are_refused(
    store: LatentStore, run: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="does not exist"):
        ledger(store, str(tmp_path / "none"), progress=False)
    (tmp_path / "other").mkdir()
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "other" / "a.png")
    with pytest.raises(UsageError, match="images that were encoded"):
        ledger(store, str(run), str(tmp_path / "other"), progress=False)

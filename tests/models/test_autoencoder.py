from __future__ import annotations

import numpy as np
import pytest

from latentscan.models.autoencoder import Sampling, build_autoencoder, kl_divergence, reconstruction_loss
from latentscan.models.backend import keras
from latentscan.models.parameters import TrainParameters

RNG = np.random.default_rng(3)


def test_reconstruction_loss_sums_pixels_and_averages_channels_and_batch() -> None:
    target, output = RNG.uniform(0.01, 0.99, (2, 5, 4, 4, 3)).astype(np.float32)
    bce = -(target * np.log(output) + (1 - target) * np.log(1 - output))
    mse = (target - output) ** 2
    for kind, error in (("bce", bce), ("mse", mse)):
        expected = error.sum(axis=(1, 2)).mean(axis=(0, 1))
        assert float(reconstruction_loss(target, output, kind)) == pytest.approx(expected, rel=1e-5)


def test_kl_divergence_sums_components_and_averages_the_batch() -> None:
    mu, logvar = RNG.normal(size=(2, 6, 5)).astype(np.float32)
    expected = (-0.5 * (1 + logvar - mu**2 - np.exp(logvar))).sum(axis=1).mean()
    assert float(kl_divergence(mu, logvar)) == pytest.approx(expected, rel=1e-5)
    assert float(kl_divergence(np.zeros((2, 3)), np.zeros((2, 3)))) == 0


def test_sampling_clips_epsilon_elementwise_and_scales_it() -> None:
    mu, logvar = np.array([[1, 2, 3]], np.float32), np.log(np.array([[4, 1, 9]], np.float32))
    epsilon = np.array([[-9, 0.5, 9]], np.float32)
    z = keras.ops.convert_to_numpy(
        Sampling(epsilon_limit=2, epsilon_factor=0.1)([mu, logvar], epsilon=epsilon)
    )
    np.testing.assert_allclose(z, [[1 - 2 * 2 * 0.1, 2 + 0.5 * 0.1, 3 + 3 * 2 * 0.1]], rtol=1e-6)


def test_epsilon_depends_on_seed_and_epoch_alone() -> None:
    def draw(seed: int, epoch: int) -> np.ndarray:
        sampling = Sampling()
        sampling.draw(np.zeros((1, 1), np.float32))
        sampling.reseed(seed, epoch)
        return np.asarray(keras.ops.convert_to_numpy(sampling.draw(np.zeros((400, 5), np.float32))))

    first = draw(0, 1)
    np.testing.assert_array_equal(first, draw(0, 1))
    assert not np.array_equal(first, draw(0, 2))
    assert not np.array_equal(first, draw(1, 1))
    assert abs(first.mean()) < 0.1
    assert abs(first.std() - 1) < 0.1


@pytest.mark.parametrize("reconstruction", ["bce", "mse"])
def test_a_step_logs_the_losses_of_the_formulas(reconstruction: str) -> None:
    parameters = TrainParameters.model_validate(
        {
            "kind": "vae",
            "z_dim": 3,
            "filters": (4,),
            "fact": 2.0,
            "reconstruction": reconstruction,
            "epsilon_limit": 1.5,
        }
    )
    model = build_autoencoder(parameters, 16, (-1, 1))
    pixels = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    model.reseed(0, 1)
    mu, logvar = (keras.ops.convert_to_numpy(out) for out in model.encoder(pixels / np.float32(127.5) - 1))
    epsilon = keras.ops.convert_to_numpy(model.sampling.draw(mu))
    output = model.decoder(mu + np.exp(logvar / 2) * epsilon.clip(-1.5, 1.5))
    reco = float(reconstruction_loss(pixels / np.float32(255), output, reconstruction))
    model.reseed(0, 1)
    logs = model.train_on_batch(pixels, return_dict=True)
    assert logs["reco_loss"] == pytest.approx(reco, rel=1e-4)
    assert logs["kl"] == pytest.approx(float(kl_divergence(mu, logvar)), rel=1e-4)
    assert logs["kl_scaled"] == pytest.approx(2 * logs["kl"], rel=1e-6)
    assert logs["loss"] == pytest.approx(logs["reco_loss"] + logs["kl_scaled"], rel=1e-6)
    assert logs["max_abs_epsilon"] == pytest.approx(np.abs(epsilon).max())
    assert logs["max_abs_epsilon_clipped"] == pytest.approx(min(np.abs(epsilon).max(), 1.5))
    assert logs["max_logvar"] == pytest.approx(logvar.max(), rel=1e-4)

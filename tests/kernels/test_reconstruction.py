from __future__ import annotations

import keras
import numpy as np
import pytest

from latentscan.kernels.reconstruction import floors, image_losses, mean_image_loss
from latentscan.models.autoencoder import reconstruction_loss

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 256, (5, 4, 6, 3)) / 255
OUTPUT = RNG.random(TARGET.shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_losses_are_those_that_training_minimizes(kind: str) -> None:
    square = TARGET[:, :, :4], OUTPUT[:, :, :4]
    target, output = (keras.ops.convert_to_tensor(one, "float32") for one in square)
    whole = reconstruction_loss(target, output, kind)
    assert image_losses(*square, kind).mean() == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_no_output_is_below_the_floor(kind: str) -> None:
    np.testing.assert_allclose(floors(TARGET, kind), image_losses(TARGET, TARGET, kind), atol=1e-4)
    for shift in (-0.02, 0.02):
        assert (image_losses(TARGET, np.clip(TARGET + shift, 0, 1), kind) > floors(TARGET, kind)).all()


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_the_loss_of_the_mean_image_is_what_showing_it_costs(kind: str) -> None:
    mean = TARGET.mean(axis=0)
    shown = image_losses(TARGET, np.broadcast_to(mean, TARGET.shape), kind).mean()
    assert mean_image_loss(mean, (TARGET**2).mean(axis=0), kind) == pytest.approx(shown, rel=1e-9)

"""What the weights at the end of an epoch make of a fixed part of the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.models.autoencoder import reconstruction_loss
from latentscan.models.backend import keras
from latentscan.models.networks import to_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOGETHER = 128  # images of one batch


@dataclass(frozen=True)
class ProbeFigures:
    """The losses of a probe without noise, averaged over its images (kl: VAE only), and its radii."""

    reco: float
    kl: float | None
    radii: NDArray[np.float64]


def measure_probe(model: Any, pixels: NDArray[np.uint8]) -> ProbeFigures:
    """Encode images as for a store, and decode their mu (AE: z).

    Sums are in float64, so that a store of the same images can be compared to the last digits of float32.

    Parameters
    ----------
    model
        An `Autoencoder`.
    pixels
        Bytes (n, size, size, 3).
    """
    reco, divergence, radii = 0.0, 0.0, []
    is_variational = False
    for start in range(0, len(pixels), TOGETHER):
        batch = pixels[start : start + TOGETHER]
        latent = model.encoder(to_range(batch, model.value_range), training=False)
        is_variational = isinstance(latent, list | tuple)
        mu, logvar = latent if is_variational else (latent, None)
        output = model.decoder(mu, training=False)
        loss = reconstruction_loss(to_range(batch, (0, 1)), output, model.reconstruction)
        reco += len(batch) * float(keras.ops.convert_to_numpy(loss))
        points = keras.ops.convert_to_numpy(mu).astype(np.float64)
        radii.append(np.linalg.norm(points, axis=1))
        if logvar is not None:
            spread = keras.ops.convert_to_numpy(logvar).astype(np.float64)
            divergence += float(-0.5 * (1 + spread - points**2 - np.exp(spread)).sum())
    count = len(pixels)
    return ProbeFigures(reco / count, divergence / count if is_variational else None, np.concatenate(radii))

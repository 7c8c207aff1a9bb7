"""Decoders whose images, or whose Jacobian, are known, and a store whose logvar is as asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tests.builders import build_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

SIDE, COMPONENTS = 8, 5


class Planted(NamedTuple):
    """What a test knows: `curvature` (image, component) is in closed form."""

    store: LatentStore
    encoder: Path
    decoder: Path
    curvature: NDArray[np.float64]


class Sigmoid(NamedTuple):
    """The decoder sigmoid(W z) and an encoder beside it: their files, and W (component, value)."""

    encoder: Path
    decoder: Path
    weights: NDArray[np.float64]

    def curvature(self, mu: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the curvature of the cross-entropy at points (image, component), (image, component)."""
        image = 1 / (1 + np.exp(-(mu.astype(np.float64) @ self.weights)))
        return np.asarray((image * (1 - image)) @ (self.weights**2).T / 3)


def sigmoid_decoder(folder: Path, rng: np.random.Generator) -> Sigmoid:
    """Write a decoder, sigmoid(W z), and an encoder."""
    from latentscan.models.backend import keras

    weights = rng.standard_normal((COMPONENTS, SIDE * SIDE * 3)) * np.geomspace(1, 0.01, COMPONENTS)[:, None]
    z = keras.Input((COMPONENTS,))
    dense = keras.layers.Dense(SIDE * SIDE * 3, activation="sigmoid", use_bias=False)
    decoder = keras.Model(z, keras.layers.Reshape((SIDE, SIDE, 3))(dense(z)))
    dense.set_weights([weights])
    decoder.save(folder / "decoder.keras")
    pixels = keras.Input((SIDE, SIDE, 3))
    keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(pixels))).save(folder / "encoder.keras")
    return Sigmoid(folder / "encoder.keras", folder / "decoder.keras", weights)


def identity_decoder(folder: Path, side: int) -> Path:
    """Write a decoder whose images, of three channels, are z, squeezed into 0..1."""
    from latentscan.models.backend import keras

    z = keras.Input((side * side * 3,), name="z")
    image = keras.layers.Reshape((side, side, 3))(keras.layers.Rescaling(1 / 60, 0.5)(z))
    path = folder / "decoder.keras"
    keras.Model(z, image).save(path)
    return path


def planted(
    folder: Path, *, images: int = 200, fact: float, noise: float = 0.0, offset: float = 0.0
) -> Planted:
    """Write a decoder, sigmoid(W z), and a store whose logvar is that where the loss settles, plus noise."""
    rng = np.random.default_rng(0)
    made = sigmoid_decoder(folder, rng)
    mu = rng.standard_normal((images, COMPONENTS)).astype(np.float32)
    curvature = made.curvature(mu)
    logvar = np.log(fact / (curvature + fact)) + noise * rng.standard_normal(mu.shape) + offset
    store = store_of_model(folder / "z.zarr", made.encoder, mu, logvar, rejected=(3,))
    return Planted(store, made.encoder, made.decoder, curvature)


def store_of_model(
    location: Path,
    encoder: Path,
    mu: NDArray[np.floating],
    logvar: NDArray[np.floating],
    rejected: tuple[int, ...] = (),
) -> LatentStore:
    """Write a store of mu and logvar (image, component) that says which encoder it is of."""
    from latentscan.models.packing import sha256

    arrays: dict[str, Any] = {"mu": mu, "logvar": logvar, "z": mu}
    provenance = {"encoder": {"sha256": sha256(encoder)}}
    return build_store(location, arrays=arrays, chunk_rows=64, rejected=rejected, provenance=provenance)

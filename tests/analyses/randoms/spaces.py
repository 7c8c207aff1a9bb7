"""Models that bring back a known part of a plane alone: all of it, a ring, or three places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

    Space = Literal["plane", "ring", "blobs"]

SIDE = 8  # of an image, the smallest that is encoded
CENTRES = np.array([[0.0, 1.0], [0.87, -0.5], [-0.87, -0.5]])


@dataclass(frozen=True)
class Models:
    """The files of an encoder and a decoder of `components`, of which the first two are the plane."""

    encoder: Path
    decoder: Path
    components: int

    def store(self, folder: Path, arrays: Mapping[str, NDArray[np.float64]], **encoder: str) -> LatentStore:
        """Write a store that says that the encoder wrote it, and more of the encoder."""
        from latentscan.models.packing import sha256

        outputs = {"mu": 0, "logvar": 1} if "mu" in arrays else {"z": 0}
        provenance = {
            "encoder": {"sha256": sha256(self.encoder), "outputs": outputs, **encoder},
            "preprocessing": {"size": SIDE},
        }
        return build_store(folder, arrays=arrays, chunk_rows=500, provenance=provenance)


def write_models(folder: Path, space: Space, *, vae: bool = False) -> Models:
    """Save a decoder that moves z to the nearest place of a space, and the encoder that reads it there.

    An encoder of a VAE has two components besides, which the decoder ignores, and whose mu is always 0.
    """
    import keras

    components = 4 if vae else 2
    z = keras.Input((components,), name="z")
    plane = _linear(np.eye(components, 2), z)
    if space == "ring":
        plane = keras.layers.UnitNormalization()(plane)
    elif space == "blobs":
        nearest = _linear(50 * CENTRES.T, plane, activation="softmax")
        plane = _linear(CENTRES, nearest)
    paint = np.linalg.qr(np.random.default_rng(0).standard_normal((SIDE * SIDE * 3, 2)))[0].T
    pixels = _linear(paint, plane, bias=0.5)
    decoder = keras.Model(z, keras.layers.Reshape((SIDE, SIDE, 3))(pixels))
    image = keras.Input((SIDE, SIDE, 3))
    flat = keras.layers.Flatten()(image)
    read = np.zeros((SIDE * SIDE * 3, components))
    read[:, :2] = paint.T
    outputs = [_linear(read, flat, bias=-0.5 * read.sum(axis=0))]
    if vae:
        outputs.append(_linear(np.zeros_like(read), flat))
    folder.mkdir(parents=True, exist_ok=True)
    decoder.save(folder / "decoder.keras")
    keras.Model(image, outputs).save(folder / "encoder.keras")
    return Models(folder / "encoder.keras", folder / "decoder.keras", components)


def _linear(
    weights: NDArray[np.float64],
    inputs: object,
    *,
    bias: float | NDArray[np.float64] = 0.0,
    activation: str | None = None,
) -> object:
    import keras

    layer = keras.layers.Dense(weights.shape[1], activation=activation)
    outputs = layer(inputs)
    layer.set_weights([weights, np.broadcast_to(bias, weights.shape[1:])])
    return outputs


def points_of(space: Space, count: int, noise: float, seed: int = 0) -> NDArray[np.float64]:
    """Return points (count, 2) of a disk, of a ring, or of three places, with noise around the latter."""
    rng = np.random.default_rng(seed)
    if space == "plane":
        turn = rng.uniform(0, 2 * np.pi, count)
        return np.asarray(np.sqrt(rng.random((count, 1))) * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    if space == "ring":
        turn = rng.uniform(0, 2 * np.pi, count)
        found = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    else:
        found = CENTRES[rng.integers(0, 3, count)]
    return np.asarray(found + noise * rng.standard_normal(found.shape))

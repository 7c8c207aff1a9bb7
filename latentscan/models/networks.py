"""The layers of encoder and decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError
from latentscan.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latentscan.models.parameters import TrainParameters


def to_range(pixels: Any, value_range: tuple[float, float], largest: int = 255) -> Any:
    """Map pixels 0..largest to float32 in `value_range`, as a tensor operation."""
    low, high = value_range
    return keras.ops.cast(pixels, "float32") * ((high - low) / largest) + low


def seed_sequence(seed: int, epoch: int, part: int) -> np.random.SeedSequence:
    """Derive an independent stream for one purpose (`part`) of one epoch; epoch 0 is before training."""
    return np.random.SeedSequence(seed, spawn_key=(epoch, part))


def build_encoder(parameters: TrainParameters, size: int) -> Any:
    """Build image (n, size, size, 3) -> z, or -> [mu, logvar], each (n, z_dim).

    Raises
    ------
    ParameterError
        If the layers of stride 2 do not divide `size`.
    """
    check_size(parameters, size)
    initialisers = _initialisers(parameters.seed, 0)
    image = keras.Input((size, size, 3), name="image")
    x = image
    for filters in parameters.filters:
        convolution = keras.layers.Conv2D(
            filters, 3, strides=2, padding="same", kernel_initializer=next(initialisers)
        )
        x = _hidden(convolution(x), parameters)
    x = keras.layers.Flatten()(x)
    for width in parameters.dense:
        x = _hidden(keras.layers.Dense(width, kernel_initializer=next(initialisers))(x), parameters)
    heads = [
        keras.layers.Dense(parameters.z_dim, kernel_initializer=next(initialisers), name=name)(x)
        for name in _head_names(parameters)
    ]
    if parameters.kind == "vae" and parameters.logvar_limit is not None:
        heads[1] = _clipped(heads[1], parameters.logvar_limit, "logvar")
    return keras.Model(image, heads[0] if len(heads) == 1 else heads, name="encoder")


def build_decoder(parameters: TrainParameters, size: int) -> Any:
    """Build z (n, z_dim) -> image (n, size, size, 3) in 0..1, the mirror of the encoder.

    Raises
    ------
    ParameterError
        If the layers of stride 2 do not divide `size`.
    """
    check_size(parameters, size)
    initialisers = _initialisers(parameters.seed, 1)
    side = size // 2 ** len(parameters.filters)
    z = keras.Input((parameters.z_dim,), name="z")
    x = z
    for width in (*reversed(parameters.dense), side * side * parameters.filters[-1]):
        x = _hidden(keras.layers.Dense(width, kernel_initializer=next(initialisers))(x), parameters)
    x = keras.layers.Reshape((side, side, parameters.filters[-1]))(x)
    for filters in reversed(parameters.filters[:-1]):
        x = _hidden(_transposed(filters, next(initialisers))(x), parameters)
    x = _transposed(3, next(initialisers))(x)
    return keras.Model(z, keras.layers.Activation("sigmoid", name="image")(x), name="decoder")


def check_size(parameters: TrainParameters, size: int) -> None:
    """Refuse a size of images that the layers cannot halve and double back.

    Raises
    ------
    ParameterError
        With the nearest sizes that fit.
    """
    step = 2 ** len(parameters.filters)
    if size % step:
        fits = [str(fit) for fit in (size // step * step, (size // step + 1) * step) if fit >= 8]
        raise ParameterError(
            f"does not fit {len(parameters.filters)} convolutions of stride 2; "
            f"expected a multiple of {step}, such as {' or '.join(fits)}",
            field="size",
            value=size,
        )


def _head_names(parameters: TrainParameters) -> tuple[str, ...]:
    if parameters.kind == "ae":
        return ("z",)
    return ("mu", "logvar" if parameters.logvar_limit is None else "logvar_unclipped")


def _clipped(x: Any, limit: float, name: str) -> Any:
    """Clip to ± a limit with Keras's own layers, so that the saved model needs no others."""
    x = keras.layers.Rescaling(1 / limit)(x)
    return keras.layers.Rescaling(limit, name=name)(keras.layers.Activation("hard_tanh")(x))


def _transposed(filters: int, initialiser: Any) -> Any:
    return keras.layers.Conv2DTranspose(filters, 3, strides=2, padding="same", kernel_initializer=initialiser)


def _hidden(x: Any, parameters: TrainParameters) -> Any:
    if parameters.batch_norm:
        x = keras.layers.BatchNormalization()(x)
    return keras.layers.Activation(parameters.activation)(x)


def _initialisers(seed: int, part: int) -> Iterator[Any]:
    """Seed every layer by itself: one seed for all gives layers of one shape the same weights."""
    for layer in seed_sequence(seed, 0, part).generate_state(64):
        yield keras.initializers.GlorotUniform(seed=int(layer))

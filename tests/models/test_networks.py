from __future__ import annotations

import itertools

import numpy as np
import pytest

from latentscan.errors import ParameterError
from latentscan.models.backend import keras
from latentscan.models.networks import build_decoder, build_encoder, check_size, to_range
from latentscan.models.parameters import TrainParameters


@pytest.mark.parametrize("kind", ["ae", "vae"])
@pytest.mark.parametrize(("batch_norm", "dense"), [(False, ()), (True, (7, 5))])
def test_decoder_mirrors_encoder(kind: str, batch_norm: bool, dense: tuple[int, ...]) -> None:
    parameters = TrainParameters.model_validate(
        {"kind": kind, "z_dim": 3, "filters": (4, 8), "batch_norm": batch_norm, "dense": dense}
    )
    encoder, decoder = build_encoder(parameters, 32), build_decoder(parameters, 32)
    heads = {"ae": ["z"], "vae": ["mu", "logvar"]}[kind]
    assert encoder.input_shape == (None, 32, 32, 3)
    assert [tensor.shape for tensor in encoder.outputs] == [(None, 3)] * len(heads)
    assert encoder.output_names == heads
    assert (decoder.input_shape, decoder.output_shape) == ((None, 3), (None, 32, 32, 3))
    for model, convolution in ((encoder, keras.layers.Conv2D), (decoder, keras.layers.Conv2DTranspose)):
        assert sum(type(layer) is convolution for layer in model.layers) == 2
        norms = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
        assert (norms > 0) is batch_norm
    widths = [layer.units for layer in encoder.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [*dense, *[3] * len(heads)]
    widths = [layer.units for layer in decoder.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [*reversed(dense), 8 * 8 * 8]


def test_default_network_has_four_convolutions_each_way() -> None:
    parameters = TrainParameters(kind="vae")
    convolutions = [layer for layer in build_encoder(parameters, 96).layers if hasattr(layer, "filters")]
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 256]
    transposed = [layer for layer in build_decoder(parameters, 96).layers if hasattr(layer, "filters")]
    assert [layer.filters for layer in transposed] == [128, 64, 32, 3]


def test_output_is_an_image_in_0_to_1() -> None:
    decoder = build_decoder(TrainParameters(kind="ae", z_dim=3, filters=(4,)), 8)
    image = keras.ops.convert_to_numpy(decoder(np.full((2, 3), 50, np.float32)))
    assert image.min() >= 0
    assert image.max() <= 1


def test_first_weights_depend_on_the_seed_and_differ_from_layer_to_layer() -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        parameters = TrainParameters(kind="vae", z_dim=4, filters=(4, 4, 4), seed=seed)
        return [
            keras.ops.convert_to_numpy(weight)
            for model in (build_encoder(parameters, 16), build_decoder(parameters, 16))
            for weight in model.trainable_weights
            if len(weight.shape) > 1
        ]

    first, again, other = kernels(0), kernels(0), kernels(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(first, 2))


@pytest.mark.parametrize(("size", "fits"), [(100, "96 or 112"), (10, "16")])
def test_a_size_that_does_not_fit_is_refused_with_sizes_that_do(size: int, fits: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_size(TrainParameters(kind="ae"), size)
    assert (caught.value.field, caught.value.value) == ("size", size)
    assert caught.value.problem.endswith(f"such as {fits}")


def test_bytes_are_mapped_to_the_range() -> None:
    values = keras.ops.convert_to_numpy(to_range(np.array([0, 51, 255], np.uint8), (-1, 1)))
    np.testing.assert_allclose(values, [-1, -0.6, 1], atol=1e-6)
    assert values.dtype == np.float32

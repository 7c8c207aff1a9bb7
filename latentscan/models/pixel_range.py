"""Which range of pixels a model takes: what reaches its first weights says it, if anything does.

Whatever is in front of the first layer with weights (Rescaling, x / 255, Normalization, a Lambda, a nested
model) is run on smooth images in each range. The range that comes out near zero, with a size near one, is the
one that it was made for. Where nothing changes the pixels, the model does not say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.models.backend import keras
from latentscan.models.graph import calls, functional, is_nested, part
from latentscan.models.ranges import BYTES, RANGES, SIDE, SYMMETRIC, UNIT, PixelRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.models.ranges import Range

SMALLEST, LARGEST, FARTHEST = 0.2, 10.0, 1.5  # of what weights expect: its size, and its centre by its spread


def pixel_range(model: Any) -> PixelRange:
    """Return what a model says of the pixels that it takes."""
    if "int" in str(model.inputs[0].dtype):
        return PixelRange(BYTES, "it takes integers")
    images = _test_images(model.inputs[0].shape[1:])
    try:
        reached = {
            limits: _reaching_weights(model, limits[0] + (limits[1] - limits[0]) * images)
            for limits in RANGES
        }
    except Exception as error:  # noqa: BLE001 (a layer of someone's own may raise anything)
        return PixelRange(None, f"its first layers cannot be tried ({type(error).__name__})")
    found = {_fitting(values, images) for values in zip(*reached.values(), strict=True)}
    if len(found) == 1 and (limits := found.pop()) is not None:
        return PixelRange(limits, "what reaches its first weights shows it")
    return PixelRange(None, "no layer of it shows which it takes")


def _test_images(shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """Return images of 0..1: two that keep their range when they are resized or turned over, white, black."""
    height, width, channels = (side or SIDE for side in shape)
    ramp = np.add.outer(np.linspace(0, 0.5, height), np.linspace(0, 0.5, width))
    image = np.repeat(ramp[:, :, None], channels, axis=2)
    return np.stack([image, 1 - image, np.ones_like(image), np.zeros_like(image)]).astype(np.float32)


def _reaching_weights(model: Any, values: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Return what reaches each of the first layers with weights, for a batch of images."""
    model = functional(model)
    scaled = {id(tensor) for tensor in model.inputs}
    first: dict[int, Any] = {}
    nested: list[tuple[Any, Any]] = []
    for operation, inputs, node in calls(model):
        if not all(id(tensor) in scaled for tensor in inputs):
            continue
        if not _has_weights(operation):
            scaled.update(id(tensor) for tensor in node.output_tensors)
        elif is_nested(operation) and len(inputs) == 1:
            nested.append((operation, inputs[0]))
        else:
            first.update((id(tensor), tensor) for tensor in inputs)
    found = [_run(model, tensor, values) for tensor in first.values()]
    for inner, tensor in nested:
        found.extend(_reaching_weights(inner, _run(model, tensor, values).astype(np.float32)))
    return found


def _has_weights(operation: Any) -> bool:
    """Return whether an operation has weights, apart from the figures of a normalization."""
    if is_nested(operation):
        return any(_has_weights(layer) for layer in operation.layers)
    if type(operation).__name__.endswith("Normalization"):
        return False
    return bool(getattr(operation, "weights", None))


def _run(model: Any, tensor: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
    if any(tensor is entry for entry in model.inputs):
        return values.astype(np.float64)
    (found,) = keras.tree.flatten(part(model, [tensor])(values, training=False))
    return np.asarray(keras.ops.convert_to_numpy(found), np.float64)


def _fitting(reached: Sequence[NDArray[np.float64]], images: NDArray[np.float32]) -> Range | None:
    """Return the range for which what reaches the weights is of their size; None where that is open."""
    sizes = [_centre_and_spread(values[:2], images[:2]) for values in reached]
    of_bytes, of_unit, _ = (np.abs(values[2:]).reshape(2, -1).max(axis=1) for values in reached)
    unchanged = np.allclose(of_bytes, (255, 0), atol=2.55) and np.allclose(of_unit, (1, 0), atol=0.01)
    if unchanged or np.allclose(sizes[0], sizes[1]):
        return None  # the pixels come as they are, or their range is no matter
    centred = [abs(centre) <= FARTHEST * spread for centre, spread in sizes]
    sized = [SMALLEST <= abs(centre) + spread <= LARGEST for centre, spread in sizes]
    fits = [limits for limits, near, right in zip(RANGES, centred, sized, strict=True) if near and right]
    if not fits:
        fits = [limits for limits, near in zip(RANGES, centred, strict=True) if near]
        return fits[0] if len(fits) == 1 else None
    if BYTES in fits:
        return BYTES if len(fits) == 1 else None
    return UNIT if UNIT in fits else SYMMETRIC


def _centre_and_spread(values: NDArray[np.float64], images: NDArray[np.float32]) -> tuple[float, float]:
    """Return the middle and half the width of values, by their quartiles: images may come with a border."""
    low, high = np.percentile(values, (25, 75))
    own_low, own_high = np.percentile(images, (25, 75))
    return float(low + high) / 2, float(high - low) / 2 / float(own_high - own_low)


def normalization_misfit(model: Any, values: NDArray[np.float32]) -> float | None:
    """Return how far images are from what the first BatchNormalization saw: KL of normal distributions."""
    for operation, inputs, _ in calls(functional(model)):
        if is_nested(operation) and len(inputs) == 1:
            found = normalization_misfit(operation, _run(model, inputs[0], values).astype(np.float32))
            if found is not None:
                return found
        elif isinstance(operation, keras.layers.BatchNormalization):
            mean, variance = (
                keras.ops.convert_to_numpy(seen).astype(np.float64)
                for seen in (operation.moving_mean, operation.moving_variance)
            )
            if np.allclose(mean, 0) and np.allclose(variance, 1):
                continue  # nothing was learned
            seen_now = _run(functional(model), inputs[0], values)
            own = np.moveaxis(seen_now, operation.axis, -1).reshape(-1, len(mean))
            ratio = (own.var(axis=0) + 1e-12) / (variance + 1e-12)
            shift = (own.mean(axis=0) - mean) ** 2 / (variance + 1e-12)
            return float(np.median(0.5 * (ratio + shift - 1 - np.log(ratio))))
    return None

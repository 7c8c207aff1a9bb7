"""A network that Keras runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError
from latentscan.models.arrays import top
from latentscan.models.backend import SET_ASIDE, keras, versions
from latentscan.models.graph import (
    functional,
    heads_model,
    is_nested,
    output_names,
    part,
    tensors_of,
)
from latentscan.models.loading import compile_fixed, load_model
from latentscan.models.network import ImageInput, channels_first
from latentscan.models.networks import to_range
from latentscan.models.outputs import shape_text
from latentscan.models.pixel_range import normalization_misfit, pixel_range
from latentscan.models.steadiness import steady_heads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.network import Loading
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.ranges import PixelRange, Range


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """A Keras model whose graph is known.

    Parameters
    ----------
    model
        The model.
    path
        Where it was loaded from, for errors.
    """

    model: Any = field(repr=False)
    path: Path
    kind: str = "keras"

    @classmethod
    def load(cls, path: Path, loading: Loading) -> KerasNetwork:
        """Load a model file or a SavedModel folder; see `load_model`.

        Raises
        ------
        ParameterError
            If it has no layer that is asked for.
        """
        model = load_model(path, loading)
        return cls(_inner(model, loading.layer, path) if loading.layer else model, path)

    @cached_property
    def input(self) -> ImageInput:
        """The images that it takes."""
        shapes = [tuple(tensor.shape[1:]) for tensor in self.model.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 3:
            raise ParameterError(
                f"expected one input of images, (height, width, channels), got "
                f"{', '.join(map(shape_text, shapes))}",
                field="model",
                value=self.path,
            )
        entry, first = self.model.inputs[0], channels_first(shapes[0])
        height, width, channels = (*shapes[0][1:], shapes[0][0]) if first else shapes[0]
        return ImageInput(height, width, channels, first, str(entry.dtype), entry.shape[0])

    @cached_property
    def names(self) -> list[list[str]]:
        """The names of each output: its key in a dictionary, and its layer's."""
        return output_names(self.model)

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of each output, None for the batch."""
        return [tuple(tensor.shape) for tensor in self.model.outputs]

    def shape_of(self, source: Source) -> Shape:
        """Return the shape of an output, by its position or the name of a layer."""
        (tensor,) = tensors_of(self.model, [source])
        return tuple(tensor.shape)

    def pixel_range(self) -> PixelRange:
        """Return what the network says of the pixels that it takes."""
        return pixel_range(self.model)

    def steady_heads(self, heads: tuple[Head, ...], limits: Range) -> tuple[tuple[Head, ...], list[str]]:
        """Return outputs whose rows depend on their image alone, and what to say of it."""
        found, notes = steady_heads(self.model, heads, self.path, limits)
        return found, [*SET_ASIDE, *notes]

    def misfit(self, values: NDArray[np.float32]) -> float | None:
        """Return how far images are from what the first BatchNormalization saw in training."""
        images = np.moveaxis(values, 3, 1) if self.input.channels_first else values
        return normalization_misfit(self.model, images)

    def compiled(
        self, heads: tuple[Head, ...], preprocessing: Preprocessing, batch_size: int, kind: str = "uint8"
    ) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        """Return the function from a batch of pixels to the arrays, as one graph of a fixed shape."""
        selected = heads_model(self.model, heads)

        def forward(pixels: Any) -> Any:
            images = to_range(pixels, preprocessing.value_range, top(kind))
            if preprocessing.mean is not None:
                images -= np.array(preprocessing.mean, np.float32)
            if preprocessing.std is not None:
                images /= np.array(preprocessing.std, np.float32)
            if self.input.channels_first:
                images = keras.ops.moveaxis(images, 3, 1)
            images = _as_type(images, self.model.inputs[0].dtype)
            outputs = keras.tree.flatten(selected(images, training=False))
            return [
                _converted(_rows(output, batch_size), head.meaning)
                for output, head in zip(outputs, heads, strict=True)
            ]

        return compile_fixed(forward, (batch_size, *preprocessing.shape), kind)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of what computes, by name."""
        return versions()


def _inner(model: Any, name: str, path: Path) -> Any:
    """Return the model in a model that has this name, or the part that leads to the layer of this name."""
    try:
        layer = model.get_layer(name)
        return functional(layer) if is_nested(layer) else part(model, tensors_of(model, [name]))
    except (ValueError, AttributeError) as error:
        names = [one.name for one in model.layers]
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ParameterError(
            f"{' '.join(str(error).split()).partition(' Existing')[0]} in {path}; its layers are {shown}",
            field="layer",
            value=name,
        ) from None


def _as_type(images: Any, dtype: str) -> Any:
    """Return pixels in the type that a model takes: as integers, they are rounded, and a byte never wraps."""
    if "int" in dtype:
        images = keras.ops.round(images)
    if dtype == "uint8":  # a filter goes beyond
        images = keras.ops.clip(images, 0, 255)
    return keras.ops.cast(images, dtype)


def _rows(output: Any, batch_size: int) -> Any:
    """Return an output of any type and any axes as rows of float32."""
    return keras.ops.reshape(keras.ops.cast(output, "float32"), (batch_size, -1))


def _converted(values: Any, meaning: str) -> Any:
    """Return logvar from another spread; what is none of the array's as it is."""
    if meaning == "log_std":
        return 2 * values
    if meaning == "std":
        return 2 * keras.ops.log(values)
    return keras.ops.log(values) if meaning == "var" else values

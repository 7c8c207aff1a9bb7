"""What an encoder needs of a trained network, whatever framework runs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.ranges import PixelRange, Range


@dataclass(frozen=True)
class ImageInput:
    """The images that a network takes.

    Parameters
    ----------
    height, width, channels
        In pixels; None where it takes any.
    channels_first
        Whether an image is (channels, height, width).
    dtype
        The type of its pixels.
    batch
        How many images it takes at once; None where it takes any number.
    any_size
        Whether it takes other sizes too: what is known of its outputs is of this one.
    """

    height: int | None
    width: int | None
    channels: int | None
    channels_first: bool = False
    dtype: str = "float32"
    batch: int | None = None
    any_size: bool = False


@dataclass(frozen=True)
class Code:
    """The content of a Python file, which travels to workers.

    Parameters
    ----------
    name
        The name of the file, for errors.
    text
        Its content.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Loading:
    """How a network is loaded, on every machine.

    Parameters
    ----------
    trust
        Whether its file may be one that can run code.
    function
        The name of the function in a Python file; empty for other files.
    origin
        Where the user has that Python file.
    shape
        Height, width and channels of the images that it is tried on, where it does not say what it takes.
    layer
        The layer of a Keras model whose output is the latent, or a model in it; empty for the model itself.
    custom_objects
        Python code with classes that a Keras model names.
    """

    trust: bool = False
    function: str = ""
    origin: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    layer: str = ""
    custom_objects: Code | None = None


def channels_first(shape: Shape, *, otherwise: bool = False) -> bool:
    """Return whether images of a shape begin with their channels: 1 or 3, or fewer than the other sides.

    Parameters
    ----------
    shape
        The three sides of an image, None for those of any length.
    otherwise
        The answer where neither the first nor the last side looks like channels.
    """
    first, _, last = shape
    if first in (1, 3) or last in (1, 3):
        return last not in (1, 3)
    sides = [side or math.inf for side in shape]
    if sides[0] < min(sides[1:]):
        return True
    return otherwise and sides[2] >= min(sides[:2])


class Network(Protocol):
    """A trained network whose outputs have names."""

    @property
    def kind(self) -> str:
        """What runs it: keras, onnx or function."""

    @property
    def input(self) -> ImageInput:
        """The images that it takes."""

    @property
    def names(self) -> Sequence[Sequence[str]]:
        """The names of each output: its key in a dictionary, and its layer's."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shape of each output, None for the batch."""

    def shape_of(self, source: Source) -> Shape:
        """Return the shape of an output, by its position or the name of a layer.

        Raises
        ------
        ValueError
            If there is no such output or layer.
        """

    def pixel_range(self) -> PixelRange:
        """Return what the network says of the pixels that it takes."""

    def steady_heads(self, heads: tuple[Head, ...], limits: Range) -> tuple[tuple[Head, ...], list[str]]:
        """Return outputs whose rows depend on their image alone, for pixels in `limits`, and what to say.

        Raises
        ------
        ParameterError
            If there are none.
        """

    def misfit(self, values: NDArray[np.float32]) -> float | None:
        """Return how far images are from those of the training; None where the network does not say."""

    def compiled(
        self, heads: tuple[Head, ...], preprocessing: Preprocessing, batch_size: int, kind: str = "uint8"
    ) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        """Return the function from pixels (`batch_size`, height, width, channels) of a type to the arrays."""

    def versions(self) -> Mapping[str, str]:
        """Return the versions of what computes, by name."""


class DecodingNetwork(Protocol):
    """A trained network of latents into images."""

    @property
    def inputs(self) -> Sequence[Shape]:
        """The shape of each input, None for the batch."""

    @property
    def outputs(self) -> Sequence[Shape]:
        """The shape of each output, None for the batch."""

    def output_range(self) -> tuple[Range, str] | None:
        """Return the range of its images, and what shows it; None where the network does not say."""

    def compiled(self, batch_size: int) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
        """Return the function from (`batch_size`, components) to images in the network's own layout."""

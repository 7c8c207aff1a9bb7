"""A decoder that Keras runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from latentscan.models.backend import keras
from latentscan.models.loading import compile_fixed, load_model
from latentscan.models.ranges import SYMMETRIC, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.models.network import Loading
    from latentscan.models.outputs import Shape
    from latentscan.models.ranges import Range


@dataclass(frozen=True, eq=False)
class KerasDecoder:
    """A Keras model of latents into images.

    Parameters
    ----------
    model
        The model.
    """

    model: Any = field(repr=False)

    @classmethod
    def load(cls, path: Path, loading: Loading) -> KerasDecoder:
        """Load a model file or a SavedModel folder; see `load_model`."""
        return cls(load_model(path, loading))

    @cached_property
    def inputs(self) -> list[Shape]:
        """The shape of each input, None for the batch."""
        return [tuple(tensor.shape) for tensor in self.model.inputs]

    @cached_property
    def outputs(self) -> list[Shape]:
        """The shape of each output, None for the batch."""
        return [tuple(tensor.shape) for tensor in self.model.outputs]

    def output_range(self) -> tuple[Range, str] | None:
        """Return the range of its images, and what shows it; None where the model does not say."""
        last = getattr(getattr(self.model.layers[-1], "activation", None), "__name__", "")
        if last not in ("sigmoid", "tanh"):
            return None
        return UNIT if last == "sigmoid" else SYMMETRIC, f"its last activation is {last}"

    def compiled(self, batch_size: int) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
        """Return the function from (`batch_size`, components) to images in the model's own layout."""
        shape = self.inputs[0][1:]

        def forward(z: Any) -> Any:
            points = keras.ops.reshape(z, (batch_size, *shape))
            return keras.ops.cast(self.model(points, training=False), "float32")

        components = math.prod(side for side in shape if side is not None)
        return compile_fixed(forward, (batch_size, components), "float32")

"""A trained decoder: z-points in, images out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError, command
from latentscan.models.kinds import function_of
from latentscan.models.network import Loading, channels_first
from latentscan.models.opening import open_decoder
from latentscan.models.ranges import BYTES, SYMMETRIC, UNIT
from latentscan.models.run_folder import RunFolder
from latentscan.processors import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.models.network import DecodingNetwork
    from latentscan.models.ranges import Range

PROBE_POINTS = 64
BEYOND, BELOW = 4.0, 0.1  # of values that are bytes, and of those that are negative on purpose


@dataclass(frozen=True, eq=False)
class Decoder:
    """A decoder of z-points into images.

    Parameters
    ----------
    name
        The name of the model's file or folder.
    latent_shape
        The axes of a latent, of which a row is the components in C order.
    shape
        Height, width and channels of an image.
    channels_first
        Whether the model's images begin with their channels.
    value_range
        What black and white are in the model's images.
    reason
        What shows that range.
    batch_size
        Points that are decoded together.
    network
        What computes.
    """

    name: str
    latent_shape: tuple[int, ...]
    shape: tuple[int, int, int]
    channels_first: bool
    value_range: tuple[float, float]
    reason: str
    batch_size: int
    network: DecodingNetwork = field(repr=False)

    @property
    def components(self) -> int:
        """Length of a latent row."""
        return math.prod(self.latent_shape)

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Decode z (n, components) into bytes (n, height, width, channels), in batches of one fixed shape.

        Raises
        ------
        UsageError
            If z has another number of components.
        """
        return np.rint(self.decode_unit(z) * 255).astype(np.uint8)

    def decode_unit(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decode z (n, components) into values clipped to 0..1, (n, height, width, channels).

        Raises
        ------
        UsageError
            If z has another number of components.
        """
        return np.clip(self.decode_values(z), 0, 1)

    def decode_values(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decode z (n, components) into float32 (n, height, width, channels): 0 is black, and 1 is white.

        Raises
        ------
        UsageError
            If z has another number of components.
        """
        self._require_points(z)
        images, (low, high) = np.empty((len(z), *self.shape), np.float32), self.value_range
        for start in range(0, len(z), self.batch_size):
            part = z[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, self.components), np.float32)
            batch[: len(part)] = part
            (values,) = self._forward(batch)
            if self.channels_first:
                values = np.moveaxis(values, 1, 3)
            images[start : start + len(part)] = (values[: len(part)] - low) / (high - low)
        return images

    def require_memory(self, count: int) -> None:
        """Check, before any is decoded, that this machine can hold so many images and a picture of them.

        Raises
        ------
        ParameterError
            If it cannot.
        """
        needed, held = 2 * count * math.prod(self.shape) + count * self.components * 4, memory_bytes()
        if held is not None and needed > held:
            raise ParameterError(
                f"so many images of {self.shape[0]}x{self.shape[1]} pixels take {needed / 1e9:,.1f} GB of "
                f"memory, and this machine has {held / 1e9:,.1f} GB",
                field="count",
                value=count,
            )

    def _require_points(self, z: NDArray[np.float32]) -> None:
        if z.ndim != 2 or z.shape[1] != self.components:
            raise UsageError(
                f"decoder {self.name}: expected z of (n, {self.components}), got {z.shape}; "
                "decode points of the latent space that it was trained with"
            )

    @cached_property
    def _forward(self) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        return self.network.compiled(self.batch_size)


def load_decoder(
    path: Path, *, trust: bool = False, batch_size: int = 64, value_range: Range | None = None
) -> Decoder:
    """Load the decoder of a run folder, or of a model file of the user's.

    Parameters
    ----------
    path
        The run folder, or the model file.
    trust
        Whether to load files that can run code.
    batch_size
        Points that are decoded together.
    value_range
        What black and white are in its images; if None, what the model says, or shows when it is tried.

    Raises
    ------
    UnsafeInputError
        If the file could run code, and is not trusted.
    UsageError
        If the file cannot be read, or is not a decoder of latents into RGB or grey images.
    """
    folder = RunFolder(path)
    if folder.record.exists() and not folder.decoder.exists():
        raise ParameterError(
            f"this run has no decoder.keras: no epoch was finished; go on with "
            f"{command('train', resume=True)}",
            field="model",
            value=path,
        )
    if function_of(path)[1]:
        raise ParameterError(
            "a function does not say which latents it takes; save the decoder as a .keras or an .onnx file",
            field="model",
            value=path,
        )
    trained = folder.record.exists()
    network = open_decoder(folder.decoder if trained else path, Loading(trust=trust))
    inputs, outputs = network.inputs, network.outputs
    made = outputs[0][1:] if len(outputs) == 1 else ()
    if not (len(inputs) == 1 and len(inputs[0]) > 1 and None not in inputs[0][1:] and _is_image(made)):
        raise ParameterError(
            "expected a decoder of (n, components), or of latents with more axes, into RGB or grey images "
            f"(n, height, width, 3 or 1), got {inputs} into {outputs}",
            field="model",
            value=path,
        )
    first = channels_first(made)
    height, width, channels = (side or 0 for side in ((*made[1:], made[0]) if first else made))
    latent_shape = tuple(side for side in inputs[0][1:] if side is not None)
    if value_range is not None:
        reason = "as asked for"
        if value_range[0] >= value_range[1]:
            raise ParameterError(
                "expected black below white", field="value_range", value="{:g}:{:g}".format(*value_range)
            )
    elif trained:
        value_range, reason = UNIT, "it was trained so"
    else:
        value_range, reason = network.output_range() or _probed_range(network, math.prod(latent_shape))
    return Decoder(
        name=path.resolve().name,
        latent_shape=latent_shape,
        shape=(height, width, channels),
        channels_first=first,
        value_range=value_range,
        reason=reason,
        batch_size=batch_size,
        network=network,
    )


def _is_image(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 3 and None not in shape and (shape[2] in (1, 3) or shape[0] in (1, 3))


def _probed_range(network: DecodingNetwork, components: int) -> tuple[Range, str]:
    """Return what black and white are in the images of a decoder that does not say it, and what shows it."""
    points = np.random.default_rng(0).standard_normal((PROBE_POINTS, components)).astype(np.float32)
    (values,) = network.compiled(PROBE_POINTS)(points)
    low, high = np.nanquantile(values.astype(np.float64), (0.05, 0.95))  # a linear layer goes a bit beyond
    shown = f"most of its values for points of N(0, 1) are in {low:.3g}..{high:.3g}"
    if high > BEYOND:
        return BYTES, shown
    return SYMMETRIC if low < -BELOW else UNIT, shown

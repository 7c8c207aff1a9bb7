"""A trained decoder: z-points in, images out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError, command
from latentscan.models.backend import keras
from latentscan.models.loading import compile_fixed, load_model
from latentscan.models.run_folder import RunFolder
from latentscan.processors import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Decoder:
    """A decoder of z-points into square images."""

    name: str
    components: int
    size: int
    batch_size: int
    model: Any = field(repr=False)

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Decode z (n, components) into bytes (n, size, size, 3), in batches of one fixed shape.

        Raises
        ------
        UsageError
            If z has another number of components.
        """
        if z.ndim != 2 or z.shape[1] != self.components:
            raise UsageError(
                f"decoder {self.name}: expected z of (n, {self.components}), got {z.shape}; "
                "decode points of the latent space that it was trained with"
            )
        images = np.empty((len(z), self.size, self.size, 3), np.uint8)
        for start in range(0, len(z), self.batch_size):
            part = z[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, self.components), np.float32)
            batch[: len(part)] = part
            (values,) = self._forward(batch)
            images[start : start + len(part)] = np.rint(np.clip(values[: len(part)], 0, 1) * 255)
        return images

    def require_memory(self, count: int) -> None:
        """Check, before any is decoded, that this machine can hold so many images and a picture of them.

        Raises
        ------
        ParameterError
            If it cannot.
        """
        needed, held = 2 * count * self.size**2 * 3 + count * self.components * 4, memory_bytes()
        if held is not None and needed > held:
            raise ParameterError(
                f"so many images of {self.size} pixels take {needed / 1e9:,.1f} GB of memory, and this "
                f"machine has {held / 1e9:,.1f} GB",
                field="count",
                value=count,
            )

    @cached_property
    def _forward(self) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        def forward(z: Any) -> Any:
            return keras.ops.cast(self.model(z, training=False), "float32")

        return compile_fixed(forward, (self.batch_size, self.components), "float32")


def load_decoder(path: Path, *, trust: bool = False, batch_size: int = 64) -> Decoder:
    """Load the decoder of a run folder, or of a model file of the user's whose images are in 0..1.

    Raises
    ------
    UnsafeInputError
        If the file could run code, and is not trusted.
    UsageError
        If the file cannot be read, or is not a decoder of z (n, components) into (n, size, size, 3).
    """
    folder = RunFolder(path)
    if folder.record.exists() and not folder.decoder.exists():
        raise ParameterError(
            f"this run has no decoder.keras: no epoch was finished; go on with "
            f"{command('train', resume=True)}",
            field="model",
            value=path,
        )
    model = load_model(folder.decoder if folder.record.exists() else path, trust=trust)
    inputs = [tuple(tensor.shape) for tensor in model.inputs]
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if not (len(inputs) == len(outputs) == 1 and len(inputs[0]) == 2 and _is_image(outputs[0])):
        raise ParameterError(
            f"expected a decoder of (n, components) into (n, size, size, 3), got {inputs} into {outputs}",
            field="model",
            value=path,
        )
    return Decoder(
        name=path.resolve().name,
        components=int(inputs[0][1]),
        size=int(outputs[0][1]),
        batch_size=batch_size,
        model=model,
    )


def _is_image(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and shape[1] is not None and shape[1] == shape[2] and shape[3] == 3

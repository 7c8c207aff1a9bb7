"""A network in an ONNX file, which onnxruntime runs: data, not code, whatever framework it was trained in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError
from latentscan.models.arrays import as_logvar, prepared
from latentscan.models.network import ImageInput
from latentscan.models.outputs import shape_text
from latentscan.models.ranges import BYTES, SIDE, PixelRange
from latentscan.models.steady_rows import is_steady, two_batches
from latentscan.models.versions import versions
from latentscan.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.network import Loading
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.ranges import Range

_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
_SILENT = 4  # of log levels: onnxruntime's lines are no news to a user, and its errors are raised


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A network in an ONNX file.

    Parameters
    ----------
    session
        What runs it. Its threads share out rows and columns, never a sum: they change no bit.
    path
        Where it was loaded from, for errors.
    """

    session: Any = field(repr=False)
    path: Path
    kind: str = "onnx"

    @classmethod
    def load(cls, path: Path, loading: Loading) -> OnnxNetwork:  # noqa: ARG003 (an ONNX file runs no code)
        """Load an ONNX file, and the file of its weights beside it where there is one.

        Raises
        ------
        UsageError
            If onnxruntime is not installed, or cannot read the file.
        """
        return cls(open_session(path), path)

    @cached_property
    def input(self) -> ImageInput:
        """The images that it takes."""
        entries = self.session.get_inputs()
        shapes = [_shape(entry) for entry in entries]
        if len(shapes) != 1 or len(shapes[0]) != 4 or entries[0].type not in _TYPES:
            raise ParameterError(
                "expected one input of images, (n, channels, height, width) or (n, height, width, channels), "
                "of float32, float16 or uint8, got "
                f"{', '.join(f'{shape_text(_shape(entry))} {entry.type}' for entry in entries)}",
                field="model",
                value=self.path,
            )
        batch, *image = shapes[0]
        first = image[2] not in (1, 3)  # unless it ends with them, an image begins with its channels
        height, width, channels = (*image[1:], image[0]) if first else image
        return ImageInput(height, width, channels, first, _TYPES[entries[0].type], batch)

    @cached_property
    def names(self) -> list[list[str]]:
        """The name of each output."""
        return [[entry.name] for entry in self.session.get_outputs()]

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of each output, None for the batch; found by a trial where the file leaves it open."""
        declared = [_shape(entry) for entry in self.session.get_outputs()]
        if all(None not in shape[1:] for shape in declared):
            return [(None, *shape[1:]) for shape in declared]
        found = self._run([name for (name,) in self.names], np.zeros(self._batch_shape, self.input.dtype))
        return [(None, *values.shape[1:]) for values in found]

    def shape_of(self, source: Source) -> Shape:
        """Return the shape of an output, by its position.

        Raises
        ------
        ValueError
            If it is a name: outputs alone have shapes.
        """
        if isinstance(source, str):
            raise ValueError(f"no output is called {source}")  # noqa: TRY004
        return self.shapes[source]

    def pixel_range(self) -> PixelRange:
        """Return what the network says of the pixels that it takes."""
        if self.input.dtype == "uint8":
            return PixelRange(BYTES, "it takes bytes")
        return PixelRange(None, "an ONNX file does not say which it takes")

    def steady_heads(self, heads: tuple[Head, ...], limits: Range) -> tuple[tuple[Head, ...], list[str]]:
        """Return the outputs, if their rows depend on their image alone.

        Raises
        ------
        ParameterError
            If they do not.
        """
        batch, *sides = self._batch_shape
        batches = two_batches(sides, self.input.dtype, limits, batch if self.input.batch else None)
        asked = [head.name for head in heads]
        if is_steady(lambda pixels: self._run(asked, pixels), batches):
            return heads, []
        raise ParameterError(
            f"its output {heads[0].name} is random, or depends on the other images of a batch; export the "
            "model in evaluation mode, model.eval(), with mu and logvar as its outputs",
            field="model",
            value=self.path,
        )

    def misfit(self, values: NDArray[np.float32]) -> float | None:  # noqa: ARG002
        """Return None: nothing in the file says what the images of the training were like."""
        return None

    def compiled(
        self, heads: tuple[Head, ...], preprocessing: Preprocessing, batch_size: int
    ) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        """Return the function from a batch of bytes to the arrays."""
        asked = [head.name for head in heads]

        def forward(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
            images = prepared(pixels, preprocessing)
            if self.input.channels_first:
                images = np.moveaxis(images, 3, 1)
            found = self._run(asked, np.ascontiguousarray(images, self.input.dtype))
            return [
                as_logvar(values.reshape(batch_size, -1), head.meaning)
                for values, head in zip(found, heads, strict=True)
            ]

        return forward

    def versions(self) -> Mapping[str, str]:
        """Return the versions of what computes, by name."""
        return {"backend": "onnxruntime", **versions("latentscan", "onnxruntime", "numpy")}

    @property
    def _batch_shape(self) -> tuple[int, ...]:
        """The shape of a batch for trials."""
        own = self.input
        height, width, channels = own.height or SIDE, own.width or SIDE, own.channels or 3
        image = (channels, height, width) if own.channels_first else (height, width, channels)
        return (own.batch or 1, *image)

    def _run(self, outputs: Sequence[str], images: NDArray[Any]) -> list[NDArray[Any]]:
        found = self.session.run(outputs, {self.session.get_inputs()[0].name: images})
        return [np.asarray(values) for values in found]


def open_session(path: Path) -> Any:
    """Open an ONNX file in onnxruntime.

    Raises
    ------
    ParameterError
        If there is no such file, onnxruntime is not installed, or it cannot read the file.
    """
    if not path.is_file():
        raise ParameterError("is no file; expected an ONNX file", field="model", value=path)
    try:
        import onnxruntime as ort
    except ImportError:
        raise ParameterError(
            'ONNX files need onnxruntime; pip install "latentscan[onnx]"', field="model", value=path
        ) from None
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    # a worker's environment says how many threads are its own
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or processors())
    options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (onnxruntime has no class of its own errors)
        raise ParameterError(
            f"expected a model that onnxruntime {ort.__version__} can read, got {_reason(error)}; export it "
            "again, with torch.onnx.export or alike",
            field="model",
            value=path,
        ) from None


def _shape(entry: Any) -> Shape:
    return tuple(side if isinstance(side, int) and side > 0 else None for side in entry.shape)


def _reason(error: Exception) -> str:
    """Return the sentence of an error of onnxruntime, without its number and the path, cut between words."""
    text = " ".join(str(error).rpartition(" failed:")[2].split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200].rpartition(' ')[0]} ..."

"""A network in an ONNX file, which onnxruntime runs: data, not code, whatever framework it was trained in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError
from latentscan.models.arrays import as_logvar, as_rows, prepared
from latentscan.models.network import ImageInput, channels_first
from latentscan.models.onnx_file import OnnxFile
from latentscan.models.outputs import shape_text
from latentscan.models.pieces import in_pieces, rows_together
from latentscan.models.ranges import BYTES, PixelRange
from latentscan.models.steady_rows import is_steady, two_batches
from latentscan.models.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.network import Loading
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.ranges import Range

TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
PIECES = (12, 4)  # images of a run, where the model takes any number; more are hardly faster
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SILENT = 4  # of log levels: onnxruntime's lines are no news to a user, and its errors are raised


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A network in an ONNX file.

    Parameters
    ----------
    file
        The file.
    shape
        Height, width and channels of the images for trials, where the file leaves them open.
    """

    file: OnnxFile
    shape: tuple[int, int, int]
    kind: str = "onnx"

    @classmethod
    def load(cls, path: Path, loading: Loading) -> OnnxNetwork:
        """Load an ONNX file, with the files of its weights beside it where there are some.

        Raises
        ------
        UsageError
            If onnxruntime is not installed, or cannot read the file.
        """
        found = cls(OnnxFile.read(path), loading.shape)
        found.session  # noqa: B018 (what cannot be read is refused here)
        return found

    @cached_property
    def session(self) -> Any:
        """What runs the outputs that the file names."""
        return open_session(self.file)

    @cached_property
    def input(self) -> ImageInput:
        """The images that it takes, any number of them: they are run in pieces."""
        entries = self.session.get_inputs()
        shapes = [known_shape(entry) for entry in entries]
        if len(shapes) != 1 or len(shapes[0]) != 4 or entries[0].type not in TYPES:
            raise ParameterError(
                "expected one input of images, (n, channels, height, width) or (n, height, width, channels), "
                "of float32, float16 or uint8, got "
                + ", ".join(f"{shape_text(known_shape(entry))} {entry.type}" for entry in entries),
                field="model",
                value=self.file.path,
            )
        image = shapes[0][1:]
        first = channels_first(image, otherwise=True)
        own = (*image[1:], image[0]) if first else image
        height, width, channels = (side or other for side, other in zip(own, self.shape, strict=True))
        return ImageInput(height, width, channels, first, TYPES[entries[0].type], any_size=None in own[:2])

    @cached_property
    def names(self) -> list[list[str]]:
        """The name of each output."""
        return [[entry.name] for entry in self.session.get_outputs()]

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of each output, None for the batch; found by a trial where the file leaves it open."""
        declared = [known_shape(entry) for entry in self.session.get_outputs()]
        if all(None not in shape[1:] for shape in declared):
            return [(None, *shape[1:]) for shape in declared]
        return [self._tried(name) for (name,) in self.names]

    def shape_of(self, source: Source) -> Shape:
        """Return the shape of an output by its position, or of a tensor inside the model by its name.

        Raises
        ------
        ValueError
            If there is no such output or tensor.
        """
        return self._tried(source) if isinstance(source, str) else self.shapes[source]

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
        run = self._runner([head.name for head in heads])
        if is_steady(run, two_batches(self._image, self.input.dtype, limits, self._own_batch)):
            return heads, []
        raise ParameterError(
            f"its output {heads[0].name} is random, or depends on the other images of a batch; export the "
            "model in evaluation mode, model.eval(), with mu and logvar as its outputs",
            field="model",
            value=self.file.path,
        )

    def misfit(self, values: NDArray[np.float32]) -> float | None:  # noqa: ARG002
        """Return None: nothing in the file says what the images of the training were like."""
        return None

    def compiled(
        self,
        heads: tuple[Head, ...],
        preprocessing: Preprocessing,
        batch_size: int,  # noqa: ARG002 (pieces of it have a size of their own)
        kind: str = "uint8",  # noqa: ARG002 (what they are made of has any)
    ) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        """Return the function from a batch of pixels to the arrays."""
        own = self._runner([head.name for head in heads])

        def run(pixels: NDArray[Any]) -> list[NDArray[np.float32]]:
            images = prepared(pixels, preprocessing)
            if self.input.channels_first:
                images = np.moveaxis(images, 3, 1)
            if self.input.dtype == "uint8":
                images = np.clip(np.rint(images), 0, 255)  # a filter goes beyond, and a byte would wrap
            found = own(np.ascontiguousarray(images, self.input.dtype))
            return [
                as_logvar(as_rows(values, len(pixels), head.name, self.file.path), head.meaning)
                for values, head in zip(found, heads, strict=True)
            ]

        rows = self._own_batch or rows_together(run, PIECES, preprocessing.shape)
        return in_pieces(run, rows, parallel=True)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of what computes, by name."""
        return {"backend": "onnxruntime", **versions("latentscan", "onnxruntime", "numpy")}

    @property
    def _own_batch(self) -> int | None:
        """How many images a run takes; None where it takes any number."""
        return known_shape(self.session.get_inputs()[0])[0]

    @property
    def _image(self) -> tuple[int, ...]:
        """The shape of an image in the model's layout."""
        own = self.input
        sides = (own.height or 0, own.width or 0)
        return (own.channels or 0, *sides) if own.channels_first else (*sides, own.channels or 0)

    def _tried(self, name: str) -> Shape:
        """Return the shape of an output, or a tensor, as a trial gives it."""
        count = self._own_batch or 2
        (values,) = self._runner([name])(np.zeros((count, *self._image), self.input.dtype))
        return (None if values.shape[:1] == (count,) else values.shape[0], *values.shape[1:])

    def _runner(self, outputs: Sequence[str]) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
        inside = [name for name in dict.fromkeys(outputs) if [name] not in self.names]
        session = open_session(self.file, inside) if inside else self.session
        return runner(session, outputs, self.file.path)


def open_session(file: OnnxFile, inside: Sequence[str] = ()) -> Any:
    """Open an ONNX file in onnxruntime; it runs on one thread.

    Parameters
    ----------
    file
        The file.
    inside
        The names of tensors that become outputs too.

    Raises
    ------
    ParameterError
        If onnxruntime is not installed, or cannot read the file.
    ValueError
        If there is no such tensor.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise ParameterError(
            'ONNX files need onnxruntime; pip install ".[onnx]"', field="model", value=file.path
        ) from None
    ort.set_default_logger_severity(_SILENT)
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if file.beside:
        contents = list(file.beside.values())
        options.add_external_initializers_from_files_in_memory(
            list(file.beside), contents, [len(content) for content in contents]
        )
    content = file.with_outputs(inside)
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (onnxruntime has no class of its own errors)
        raise ParameterError(
            f"expected a model that onnxruntime {ort.__version__} can read, got {_reason(error)}; export it "
            "again, with torch.onnx.export or alike",
            field="model",
            value=file.path,
        ) from None


def runner(session: Any, outputs: Sequence[str], path: Path) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """Return the function from a batch of the input of a session to some of its outputs.

    It raises a `UsageError` where onnxruntime cannot run a batch.
    """
    entry, asked = session.get_inputs()[0].name, list(outputs)

    def run(values: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return [np.asarray(found) for found in session.run(asked, {entry: values})]
        except Exception as error:  # noqa: BLE001 (onnxruntime has no class of its own errors)
            raise UsageError(f"{path}: cannot be run on {values.shape}: {_reason(error)}") from None

    return run


def known_shape(entry: Any) -> Shape:
    """Return the shape of an input or an output, None for what is open."""
    return tuple(side if isinstance(side, int) and side > 0 else None for side in entry.shape)


def _reason(error: Exception) -> str:
    """Return the sentence of an error of onnxruntime, without its number and the path, cut between words."""
    text = _PREFIX.sub("", " ".join(str(error).rpartition(" failed:")[2].split())) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200].rpartition(' ')[0]} ..."

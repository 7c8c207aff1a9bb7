"""A decoder in an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.models.arrays import as_rows
from latentscan.models.onnx_file import OnnxFile
from latentscan.models.onnx_network import TYPES, known_shape, open_session, runner
from latentscan.models.pieces import in_pieces
from latentscan.models.ranges import SYMMETRIC, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.models.network import Loading
    from latentscan.models.outputs import Shape
    from latentscan.models.ranges import Range

TOGETHER = 8  # points of a run, where the model takes any number


@dataclass(frozen=True, eq=False)
class OnnxDecoder:
    """A model of latents into images in an ONNX file.

    Parameters
    ----------
    file
        The file.
    """

    file: OnnxFile

    @classmethod
    def load(cls, path: Path, loading: Loading) -> OnnxDecoder:  # noqa: ARG003 (an ONNX file runs no code)
        """Load an ONNX file.

        Raises
        ------
        UsageError
            If onnxruntime is not installed, or cannot read the file.
        """
        found = cls(OnnxFile.read(path))
        found.session  # noqa: B018 (what cannot be read is refused here)
        return found

    @cached_property
    def session(self) -> Any:
        """What runs it."""
        return open_session(self.file)

    @cached_property
    def inputs(self) -> list[Shape]:
        """The shape of each input, None for the batch."""
        return [(None, *known_shape(entry)[1:]) for entry in self.session.get_inputs()]

    @cached_property
    def outputs(self) -> list[Shape]:
        """The shape of each output, None for the batch; found by a trial where the file leaves it open."""
        declared = [(None, *known_shape(entry)[1:]) for entry in self.session.get_outputs()]
        own = self.inputs
        takes_latents = len(own) == 1 and len(own[0]) > 1 and None not in own[0][1:]
        if all(None not in shape[1:] for shape in declared) or not takes_latents:
            return declared
        made = self._run(np.zeros((self._rows, *self._latent_shape), np.float32))
        return [(None, *values.shape[1:]) for values in made]

    def output_range(self) -> tuple[Range, str] | None:
        """Return the range of its images, and what shows it; None where the model does not say."""
        last = self.file.last_operation(self.session.get_outputs()[0].name)
        if last not in ("Sigmoid", "Tanh"):
            return None
        return UNIT if last == "Sigmoid" else SYMMETRIC, f"its last operation is {last}"

    def compiled(self, batch_size: int) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:  # noqa: ARG002
        """Return the function from rows of latents to images in the model's own layout."""

        def run(z: NDArray[Any]) -> list[NDArray[Any]]:
            (images, *_) = self._run(z.reshape(len(z), *self._latent_shape))
            rows = as_rows(images, len(z), self.session.get_outputs()[0].name, self.file.path)
            return [rows.astype(np.float32).reshape(images.shape)]

        return in_pieces(run, self._rows, parallel=True)

    @property
    def _rows(self) -> int:
        return known_shape(self.session.get_inputs()[0])[0] or TOGETHER

    @property
    def _latent_shape(self) -> tuple[int, ...]:
        return tuple(side for side in self.inputs[0][1:] if side is not None)

    def _run(self, points: NDArray[Any]) -> list[NDArray[Any]]:
        entry = self.session.get_inputs()[0]
        outputs = [output.name for output in self.session.get_outputs()]
        run = runner(self.session, outputs, self.file.path)
        return run(points.astype(TYPES.get(entry.type, "float32")))

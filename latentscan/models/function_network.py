"""A network that is a Python function of the user's: the door for every other framework."""

from __future__ import annotations

import hashlib
import sys
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UnsafeInputError, UsageError, parameter
from latentscan.models.arrays import as_logvar, prepared
from latentscan.models.network import ImageInput
from latentscan.models.pieces import in_pieces, rows_together
from latentscan.models.ranges import UNIT, PixelRange
from latentscan.models.steady_rows import is_steady, two_batches
from latentscan.models.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.network import Loading
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.ranges import Range

UNNAMED = "z"  # what is returned without a name
PIECES = (48, 12, 4)  # images of a call


@dataclass(frozen=True, eq=False)
class FunctionNetwork:
    """A function of float32 pixels (n, height, width, channels) that returns an array, or arrays by name.

    Parameters
    ----------
    function
        The function.
    path
        The file that the user named, for errors.
    shape
        Height, width and channels of the images that it gets.
    """

    function: Callable[[NDArray[np.float32]], Any] = field(repr=False)
    path: Path
    shape: tuple[int, int, int]
    kind: str = "function"

    @classmethod
    def load(cls, path: Path, loading: Loading) -> FunctionNetwork:
        """Run a Python file, and take a function out of it.

        Raises
        ------
        UnsafeInputError
            If the user did not vouch for the file.
        UsageError
            If there is no such file or function, or running it fails.
        """
        if not path.is_file():
            raise ParameterError("is no file; expected FILE.py:FUNCTION", field="model", value=path)
        if not loading.trust:
            raise UnsafeInputError(
                f"{path}: is a Python file, which is run to encode: if you know who wrote it, repeat with "
                f"{parameter('trust_model', True)}"
            )
        origin = Path(loading.origin or path)
        function = getattr(_run_file(path, origin), loading.function, None)
        if not callable(function):
            raise ParameterError(
                f"has no function {loading.function}; expected FILE.py:FUNCTION", field="model", value=path
            )
        if isinstance(function, type):
            raise ParameterError(
                f"{loading.function} is a class; expected a function of pixels, FILE.py:FUNCTION",
                field="model",
                value=path,
            )
        return cls(function, origin, loading.shape)

    @property
    def input(self) -> ImageInput:
        """The images that it takes: any, as far as anyone knows."""
        return ImageInput(*self.shape, any_size=True)

    @cached_property
    def names(self) -> list[list[str]]:
        """The name of each output."""
        return [[name] for name in self._tried]

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of each output, None for the batch."""
        return [(None, *values.shape[1:]) for values in self._tried.values()]

    def shape_of(self, source: Source) -> Shape:
        """Return the shape of an output, by its position.

        Raises
        ------
        ValueError
            If it is a name: nothing but what is returned has a shape.
        """
        if isinstance(source, str):
            raise ValueError(f"nothing that it returns is called {source}")  # noqa: TRY004
        return self.shapes[source]

    def pixel_range(self) -> PixelRange:
        """Return what the network says of the pixels that it takes: nothing."""
        return PixelRange(None, "a function does not say which it takes")

    def steady_heads(self, heads: tuple[Head, ...], limits: Range) -> tuple[tuple[Head, ...], list[str]]:
        """Return the outputs, if their rows depend on their image alone.

        Raises
        ------
        ParameterError
            If they do not.
        """

        def run(pixels: NDArray[Any]) -> list[NDArray[Any]]:
            found = self._call(pixels.copy())  # which a function may change
            return [found[head.name] for head in heads]

        if is_steady(run, two_batches(self.shape, "float32", limits)):
            return heads, []
        raise ParameterError(
            f"its output {heads[0].name} is random, or depends on the other images of a batch: return mu and "
            "logvar, or z of the image alone (of a PyTorch model, after model.eval())",
            field="model",
            value=self.path,
        )

    def misfit(self, values: NDArray[np.float32]) -> float | None:  # noqa: ARG002
        """Return None: nothing says what the images of the training were like."""
        return None

    def compiled(
        self,
        heads: tuple[Head, ...],
        preprocessing: Preprocessing,
        batch_size: int,  # noqa: ARG002 (pieces of it have a size of their own)
        kind: str = "uint8",  # noqa: ARG002 (what they are made of has any)
    ) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        """Return the function from a batch of pixels to the arrays."""

        def run(pixels: NDArray[Any]) -> list[NDArray[np.float32]]:
            found = self._call(prepared(pixels, preprocessing))
            return [as_logvar(found[head.name].reshape(len(pixels), -1), head.meaning) for head in heads]

        return in_pieces(run, rows_together(run, PIECES, preprocessing.shape), parallel=False)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of what may compute, by name."""
        packages = ("latentscan", "numpy", "torch", "jax", "tensorflow", "keras", "onnxruntime")
        return {"backend": "function", **versions(*packages)}

    @cached_property
    def _tried(self) -> dict[str, NDArray[Any]]:
        return self._call(two_batches(self.shape, "float32", UNIT)[0])

    def _call(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Call the function, and return its arrays by name.

        Raises
        ------
        UsageError
            If it fails, or returns something else than rows of numbers for each image.
        """
        try:
            made = self.function(pixels)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a function of someone's own)
            raise UsageError(
                f"{self.path}: {_raised(error, self.path)}; it was called with pixels {pixels.shape} "
                f"float32, whose height and width are those of {parameter('size')}"
            ) from None
        named = made._asdict() if hasattr(made, "_asdict") else made
        if isinstance(named, tuple | list) and any(getattr(part, "ndim", 0) > 1 for part in named):
            raise UsageError(
                f"{self.path}: {_EXPECTED}, got a {type(made).__name__} of {len(named)}, whose order says "
                "nothing; return a dictionary"
            )
        found = dict(named) if hasattr(named, "items") else {UNNAMED: named}
        try:
            arrays = {str(name): _array(values) for name, values in found.items()}
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.path}: {_EXPECTED}, got {type(made).__name__} ({error})") from None
        for name, values in arrays.items():
            if values.dtype.kind not in "fiu" or values.ndim < 2 or len(values) != len(pixels):
                raise UsageError(
                    f"{self.path}: {_EXPECTED}, got {name} {values.shape} {values.dtype} for {len(pixels)} "
                    "images"
                )
        return arrays


_EXPECTED = "expected an array (n, components), or a dictionary of such as mu and logvar"


def _run_file(path: Path, origin: Path) -> ModuleType:
    """Run a Python file as a module that can import what lies beside it; a process does it once.

    Parameters
    ----------
    path
        Where its content is.
    origin
        Where the user has it: its name, and the place of what it reads itself.
    """
    code = path.read_bytes()
    name = f"latentscan_function_{hashlib.sha256(code + str(origin).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(origin)
    beside = str(origin.parent)
    sys.modules[name] = module
    sys.path.append(beside)
    try:
        exec(compile(code, str(origin), "exec"), module.__dict__)  # noqa: S102 (the user vouched for it)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (it may raise anything)
        del sys.modules[name]
        raise UsageError(f"{origin}: {_raised(error, origin)}") from None
    finally:
        sys.path.remove(beside)
    return module


def _raised(error: BaseException, path: Path) -> str:
    """Return what was raised, and the last line of the file that led to it."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _array(values: Any) -> NDArray[Any]:
    """Return an array of whatever framework as one of NumPy."""
    if hasattr(values, "detach"):  # a tensor of PyTorch, on whatever device
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
    return np.asarray(values)

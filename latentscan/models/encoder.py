"""A trained encoder: images in, mu and logvar or z out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UsageError, command, parameter
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.backend import keras, versions
from latentscan.models.loading import Packed, compile_fixed, load_model, packed, sha256, unpacked
from latentscan.models.networks import to_range
from latentscan.models.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

BATCH_PIXELS = 256 * 96 * 96  # larger images come in smaller batches, so that memory stays bounded
POSITIONAL = {1: ("z",), 2: ("mu", "logvar"), 3: ("mu", "logvar", "z")}


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder with what the store records of it.

    Parameters
    ----------
    name, sha256
        The name and the hash of the model's file or folder.
    components
        Length of a latent row.
    outputs
        ("z",) or ("mu", "logvar").
    input_size
        The side of an image, pixels; None where the model takes images of any size.
    preprocessing, epsilon_limit, epsilon_factor
        Those of the training, None where unknown.
    versions
        Versions of what computes, by name.
    batch_size
        Images that are encoded together.
    model, positions, file, trusted
        The Keras model, the position of each of `outputs` among its own, and how it was loaded.
    """

    name: str
    sha256: str
    components: int
    outputs: tuple[str, ...]
    input_size: int | None
    preprocessing: Preprocessing | None
    epsilon_limit: float | None
    epsilon_factor: float | None
    versions: Mapping[str, str]
    batch_size: int
    model: Any = field(repr=False)
    positions: tuple[int, ...] = field(repr=False)
    file: Path = field(repr=False)
    trusted: bool = field(repr=False)

    @property
    def default_preprocessing(self) -> Preprocessing:
        """Return the preprocessing of the training, else one that fits the model's input."""
        if self.preprocessing is not None:
            return self.preprocessing
        size = {} if self.input_size is None else {"size": self.input_size}
        return Preprocessing(**size, value_range=(0, 255) if _takes_bytes(self.model) else (0, 1))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the model's file and what was found out about it."""
        own = {name.name: getattr(self, name.name) for name in fields(self)}
        for left in ("model", "file"):
            del own[left]
        return _unpacked, (packed(self.file, self.sha256), own)

    def with_preprocessing(self, preprocessing: Preprocessing) -> Encoder:
        """Return the same encoder for images prepared in another way.

        Raises
        ------
        UsageError
            If the model cannot take them.
        """
        check_input(self, preprocessing)
        fitting = max(1, BATCH_PIXELS // preprocessing.size**2)
        return replace(self, preprocessing=preprocessing, batch_size=min(self.batch_size, fitting))

    def __call__(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Encode bytes (n, size, size, 3), n <= batch_size, into (n, components) for each of `outputs`.

        Every call runs one batch of a fixed shape, filled up with black images, so that a row does not depend
        on how many others there are.

        Raises
        ------
        UsageError
            If the pixels have another shape or type.
        """
        shape = (self.batch_size, *[self.default_preprocessing.size] * 2, 3)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != shape[1:] or len(pixels) > self.batch_size:
            raise UsageError(
                f"encoder {self.name}: expected pixels (n <= {shape[0]}, {shape[1]}, {shape[2]}, 3) uint8, "
                f"got {pixels.shape} {pixels.dtype}; give {parameter('size', shape[1])}"
            )
        batch = pixels
        if len(pixels) < self.batch_size:
            batch = np.zeros(shape, np.uint8)
            batch[: len(pixels)] = pixels
        found = self._forward(batch)
        return {name: values[: len(pixels)] for name, values in zip(self.outputs, found, strict=True)}

    def probe(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Encode a probe batch, and check that the outputs are finite.

        Raises
        ------
        UsageError
            If the pixels do not fit, or no image of the batch is encoded to finite numbers.
        """
        found = self(pixels)
        for name, values in found.items():
            if len(values) and not np.isfinite(values).all(axis=1).any():
                low, high = self.default_preprocessing.value_range
                raise UsageError(
                    f"encoder {self.name}: expected finite {name}, got none for all {len(values)} images of "
                    f"the probe batch; check the model, and that it takes values in {low:g}..{high:g}"
                )
        return found

    @cached_property
    def _forward(self) -> Callable[[NDArray[Any]], list[NDArray[np.float32]]]:
        preprocessing = self.default_preprocessing

        def forward(pixels: Any) -> Any:
            images = to_range(pixels, preprocessing.value_range)
            images = keras.ops.cast(images, self.model.inputs[0].dtype)
            outputs = keras.tree.flatten(self.model(images, training=False))
            return [keras.ops.cast(outputs[at], "float32") for at in self.positions]

        return compile_fixed(forward, (self.batch_size, preprocessing.size, preprocessing.size, 3), "uint8")


def load_encoder(
    path: Path, *, outputs: Mapping[str, int] | None = None, trust: bool = False, batch_size: int = 256
) -> Encoder:
    """Load the encoder of a run folder, or of a model file of the user's.

    Of three outputs, mu and logvar are taken: z is sampled later, and depends on the row alone.

    Parameters
    ----------
    path
        The run folder, or the model file.
    outputs
        Position of each output by name; [z], [mu, logvar] or [mu, logvar, z] by their number if None.
    trust
        Whether to load files that can run code.
    batch_size
        Images that are encoded together.

    Raises
    ------
    UnsafeInputError
        If the file could run code, and is not trusted.
    UsageError
        If the file cannot be read, or its inputs or outputs are not those of an encoder.
    """
    folder = RunFolder(path)
    record = folder.read_record() if folder.record.exists() else None
    if record is not None and not folder.encoder.exists():
        raise ParameterError(
            f"this run has no encoder.keras: no epoch was finished; go on with "
            f"{command('train', resume=True)}",
            field="model",
            value=path,
        )
    file = path if record is None else folder.encoder
    model = load_model(file, trust=trust)
    size = _input_size(model, path)
    positions = _positions(model, path, outputs)
    names = ("z",) if "mu" not in positions else ("mu", "logvar")
    is_vae = record is not None and record.parameters.kind == "vae"
    return Encoder(
        name=path.resolve().name,
        sha256=sha256(file),
        components=_components(model, path, {name: positions[name] for name in names}),
        outputs=names,
        input_size=size,
        preprocessing=record.preprocessing if record else None,
        epsilon_limit=record.parameters.epsilon_limit if record and is_vae else None,
        epsilon_factor=record.parameters.epsilon_factor if record and is_vae else None,
        versions=versions(),
        batch_size=batch_size,
        model=model,
        positions=tuple(positions[name] for name in names),
        file=file,
        trusted=trust,
    )


def _unpacked(content: Packed, own: dict[str, Any]) -> Encoder:
    """Restore an encoder that was sent from elsewhere; a model is loaded once by a process."""
    model = unpacked(content, trust=own["trusted"])
    return Encoder(**own, model=model, file=Path(content.name))


def check_input(encoder: Encoder, preprocessing: Preprocessing) -> None:
    """Check that images prepared in this way are what the encoder takes.

    Raises
    ------
    UsageError
        With the shape or the range that is expected, and the one that comes.
    """
    size, got = encoder.input_size, preprocessing.size
    if size is not None and size != got:
        raise ParameterError(
            f"encoder {encoder.name} takes images of ({size}, {size}, 3); give {parameter('size', size)}",
            field="size",
            value=got,
        )
    low, high = preprocessing.value_range
    if _takes_bytes(encoder.model) != (max(abs(low), abs(high)) > 2):
        expected = (
            "0..255 (it rescales them itself)" if _takes_bytes(encoder.model) else "about 0..1 or -1..1"
        )
        raise ParameterError(
            f"encoder {encoder.name} takes values in {expected}",
            field="value_range",
            value=f"{low:g}:{high:g}",
        )


def _takes_bytes(model: Any) -> bool:
    """Return whether a model wants 0..255: it takes integers, or begins by dividing by about 255."""
    if "int" in str(model.inputs[0].dtype):
        return True
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if not layers or not isinstance(layers[0], keras.layers.Rescaling):
        return False
    return bool(np.max(np.abs(layers[0].scale)) < 0.1)


def _input_size(model: Any, path: Path) -> int | None:
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != 3 or shapes[0][0] != shapes[0][1]:
        raise ParameterError(
            f"expected one input of square RGB images, (size, size, 3), got {_listed(shapes)}; "
            "an encoder of grey images or of channels first cannot be used",
            field="model",
            value=path,
        )
    size = shapes[0][0]
    return None if size is None else int(size)


def _positions(model: Any, path: Path, outputs: Mapping[str, int] | None) -> Mapping[str, int]:
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    if outputs is None:
        if len(shapes) not in POSITIONAL:
            raise ParameterError(
                f"expected 1 output (z), 2 (mu, logvar) or 3 (mu, logvar, z), got {len(shapes)}: "
                f"{_listed(shapes)}; say which is which, such as {parameter('outputs', 'mu=0,logvar=1')}",
                field="model",
                value=path,
            )
        found = {name: at for at, name in enumerate(POSITIONAL[len(shapes)])}
        _check_names(path, _output_names(model), found)
        return found
    if set(outputs) not in ({"z"}, {"mu", "logvar"}, {"mu", "logvar", "z"}):
        raise ParameterError(
            "expected z, or mu and logvar, to be named", field="outputs", value=_as_text(outputs)
        )
    for name, at in outputs.items():
        if not 0 <= at < len(shapes):
            raise ParameterError(
                f"expected {name}=0..{len(shapes) - 1}; the outputs of {path} are {_listed(shapes)}",
                field="outputs",
                value=_as_text(outputs),
            )
    return outputs


def _output_names(model: Any) -> list[str]:
    """Return the keys of a dictionary of outputs, in Keras's order, else the names of the last layers."""
    names = sorted(model.output) if isinstance(model.output, dict) else getattr(model, "output_names", [])
    return [str(name) for name in names]


def _check_names(path: Path, names: list[str], positions: Mapping[str, int]) -> None:
    """Refuse outputs whose own names say that they come in another order."""
    spoken = {at: name for at, name in enumerate(names) if re.search(r"log_?var", name, re.IGNORECASE)}
    if "logvar" in positions and spoken and positions["logvar"] not in spoken:
        at = next(iter(spoken))
        other = parameter("outputs", f"mu={1 - min(at, 1)},logvar={at}")
        raise ParameterError(
            f"expected output {positions['logvar']} to be logvar, but output {at} is called {names[at]}; "
            f"say which is which, such as {other}",
            field="model",
            value=path,
        )


def _components(model: Any, path: Path, positions: Mapping[str, int]) -> int:
    shapes = {name: tuple(model.outputs[at].shape) for name, at in positions.items()}
    for name, shape in shapes.items():
        if len(shape) != 2 or shape[1] is None:
            raise ParameterError(
                f"expected {name} of shape (n, components), got {_listed([shape])}", field="model", value=path
            )
    if len(set(shapes.values())) != 1:
        raise ParameterError(
            f"expected mu and logvar of one shape, got {_listed(shapes.values())}; "
            f"see {parameter('outputs')}",
            field="model",
            value=path,
        )
    return int(next(iter(shapes.values()))[1])


def _as_text(outputs: Mapping[str, int]) -> str:
    return ",".join(f"{name}={at}" for name, at in outputs.items())


def _listed(shapes: Any) -> str:
    return ", ".join(str(tuple("n" if side is None else side for side in shape)) for shape in shapes).replace(
        "'", ""
    )

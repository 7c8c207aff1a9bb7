"""A trained encoder: images in, mu and logvar or z out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, partial
from importlib.util import decode_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError, UnsafeInputError, UsageError, command, parameter
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.kinds import function_of
from latentscan.models.network import Code, ImageInput, Loading
from latentscan.models.opening import open_network
from latentscan.models.outputs import heads_as_asked, heads_by_name, notes_on, shape_text
from latentscan.models.packing import Packed, packed, sha256, unpacked
from latentscan.models.ranges import UNIT, PixelRange, doubt, is_bytes
from latentscan.models.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from latentscan.models.network import Network
    from latentscan.models.outputs import Head, Shape, Source
    from latentscan.models.run_folder import RunRecord

# A matrix product sums the last rows of a batch in another order, where they do not fill its blocks: a row
# would depend on its place by rounding. Blocks are of 24 rows, or of 48 where a processor has AVX-512.
BLOCK_ROWS = 48
BATCH_ROWS = 5 * BLOCK_ROWS
OVERSHOOT = 0.25  # what resizing by bicubic or lanczos may add to floats of 0..1
BATCH_VALUES = BATCH_ROWS * 96 * 96 * 3  # larger images come in smaller batches, so that memory stays bounded


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder with what the store records of it.

    Parameters
    ----------
    name, sha256
        The name and the hash of the model's file or folder.
    latent_shape
        The axes of a latent; a row holds its components in C order.
    outputs
        ("z",) or ("mu", "logvar").
    takes_images
        The images that the model takes.
    preprocessing, epsilon_limit, epsilon_factor
        Those of the training, None where unknown.
    versions
        Versions of what computes, by name.
    batch_size
        Images that are encoded together.
    heads
        Where each of `outputs` comes from.
    takes
        What the model says of the pixels that it takes.
    notes
        What a user should know of it, a line each.
    network, file, loading
        What computes, and how it was loaded.
    training
        What kind of model was trained from which first weights: `kind`, `fact` (of a VAE), `batch_norm` and
        `seed`; empty where unknown.
    """

    name: str
    sha256: str
    latent_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    takes_images: ImageInput
    preprocessing: Preprocessing | None
    epsilon_limit: float | None
    epsilon_factor: float | None
    versions: Mapping[str, str]
    batch_size: int
    heads: tuple[Head, ...]
    takes: PixelRange
    notes: tuple[str, ...]
    network: Network = field(repr=False)
    file: Path = field(repr=False)
    loading: Loading = field(repr=False)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def components(self) -> int:
        """Length of a latent row."""
        return math.prod(self.latent_shape)

    @property
    def default_preprocessing(self) -> Preprocessing:
        """Return the preprocessing of the training, else one that fits the model's input."""
        if self.preprocessing is not None:
            return self.preprocessing
        own = self.takes_images
        fitting: dict[str, Any] = {"value_range": self.takes.value_range or UNIT}
        if own.height is not None and own.width is not None:
            fitting |= {"size": (own.height, own.width)}
        if own.channels not in (None, 3):
            fitting |= {"channels": "grey" if own.channels == 1 else own.channels}
        return Preprocessing.model_validate(fitting)

    @property
    def positions(self) -> tuple[Source, ...]:
        """What each of `outputs` is of the model: a position, or a layer's name; and what it is made of."""
        return tuple(head.recorded for head in self.heads)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the model's file and what was found out about it."""
        own = {name.name: getattr(self, name.name) for name in fields(self)}
        for left in ("network", "file"):
            del own[left]
        return _unpacked, (packed(self.file, self.sha256), own)

    def with_preprocessing(self, preprocessing: Preprocessing, *, override: bool = False) -> Encoder:
        """Return the same encoder for images prepared in another way.

        Parameters
        ----------
        preprocessing
            How images are prepared.
        override
            Whether their range may be another one than the model says.

        Raises
        ------
        UsageError
            If the model cannot take them.
        """
        check_input(self, preprocessing, override=override)
        if self.takes_images.batch is not None:
            return replace(self, preprocessing=preprocessing)
        fitting = max(1, BATCH_VALUES // math.prod(preprocessing.shape))
        if fitting < self.batch_size:
            whole = BLOCK_ROWS if fitting >= BLOCK_ROWS else BLOCK_ROWS // 2
            fitting = fitting // whole * whole or fitting
        return replace(self, preprocessing=preprocessing, batch_size=min(self.batch_size, fitting))

    def __call__(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Encode pixels (n, height, width, channels), n <= batch_size, into (n, components) for each output.

        They are bytes, or float32 where 1 is what 255 is of bytes.

        Every call runs one batch of a fixed shape, filled up with black images, so that a row does not depend
        on how many others there are.

        Raises
        ------
        UsageError
            If the pixels have another shape or type.
        """
        shape = (self.batch_size, *self.default_preprocessing.shape)
        kind = str(pixels.dtype)
        if kind not in ("uint8", "float32") or pixels.shape[1:] != shape[1:] or len(pixels) > self.batch_size:
            raise UsageError(
                f"encoder {self.name}: expected pixels (n <= {shape[0]}, {', '.join(map(str, shape[1:]))}) "
                f"uint8 or float32, got {pixels.shape} {kind}; give {parameter('size', _sides(shape[1:]))}"
            )
        batch = pixels
        if len(pixels) < self.batch_size:
            batch = np.zeros(shape, kind)
            batch[: len(pixels)] = pixels
        found = self._forward(kind)(batch)
        return {name: values[: len(pixels)] for name, values in zip(self.outputs, found, strict=True)}

    def probe(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Encode some images, and check that the outputs are finite.

        Raises
        ------
        UsageError
            If the pixels do not fit, or no image of the batch is encoded to finite numbers.
        """
        starts = range(0, max(1, len(pixels)), self.batch_size)
        parts = [self(pixels[start : start + self.batch_size]) for start in starts]
        found = {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}
        for name, values in found.items():
            if len(values) and not np.isfinite(values).all(axis=1).any():
                low, high = self.default_preprocessing.value_range
                raise UsageError(
                    f"encoder {self.name}: expected finite {name}, got none for all {len(values)} images of "
                    f"the probe batch; check the model, and that it takes values in {low:g}..{high:g}"
                )
        return found

    def range_notes(self, pixels: NDArray[Any] | None, *, asked: bool) -> list[str]:
        """Return what a user should know of the range of pixels, a line each.

        Parameters
        ----------
        pixels
            Some images (n, height, width, channels); None where none were read.
        asked
            Whether the user has named the range.
        """
        found = []
        limits = self.default_preprocessing.value_range
        shown = f"{limits[0]:g}..{limits[1]:g}"
        beyond = _beyond_unit(pixels)
        if beyond:
            return [
                f"WARNING: the first images are floats of {beyond}, not of 0..1, and go to encoder "
                f"{self.name} as they are; if it was trained on others, scale the array to 0..1"
            ]
        other = "0:1" if is_bytes(limits) else "0:255"
        known = self.takes.value_range is not None
        if not asked and known and is_bytes(limits):
            found.append(f"encoder {self.name} takes pixels of {shown}: {self.takes.reason}")
        is_normalized = self.default_preprocessing.mean is not None
        if not asked and not known and not is_normalized:
            others = f"{parameter('value_range', other)}" + ("" if is_bytes(limits) else " or -1:1")
            found.append(
                f"pixels of {shown} are assumed for encoder {self.name}: {self.takes.reason}; if it was "
                f"trained on others, give {others}"
            )
        if not known and pixels is not None:
            batch = pixels[: self.batch_size]

            def rows(other_limits: tuple[float, float]) -> dict[str, NDArray[np.float32]]:
                chosen = self.default_preprocessing.model_copy(update={"value_range": other_limits})
                return replace(self, preprocessing=chosen, batch_size=max(1, len(batch)))(batch)

            reason = doubt(self.network.misfit, self.heads, rows, batch, limits)
            if reason is not None:
                found.append(
                    f"WARNING: {reason} speaks against pixels in {shown}; compare with "
                    f"{parameter('value_range', other)}"
                )
        return found

    @cached_property
    def _forward(self) -> Callable[[str], Callable[[NDArray[Any]], list[NDArray[np.float32]]]]:
        made = partial(self.network.compiled, self.heads, self.default_preprocessing, self.batch_size)
        return cache(made)


def load_encoder(
    path: Path,
    *,
    outputs: Mapping[str, Source] | None = None,
    trust: bool = False,
    batch_size: int = BATCH_ROWS,
    asked: Mapping[str, Any] | None = None,
    layer: str = "",
    custom_objects: Path | None = None,
) -> Encoder:
    """Load the encoder of a run folder, or of a model file of the user's.

    Of mu, logvar and z, mu and logvar are taken: z is sampled later, and depends on the row alone.

    Parameters
    ----------
    path
        The run folder, the model file, or a function, FILE.py:FUNCTION.
    outputs
        The position of each output, or its name or a layer's, by what it is; if None, their names say it.
    trust
        Whether to load files that can run code.
    batch_size
        Images that are encoded together, where the model takes any number.
    asked
        Those fields of the preprocessing that the user has named: a function is tried on such images.
    layer
        The layer of a Keras model whose output is the latent, or the model in it that is the encoder.
    custom_objects
        A Python file with classes that a Keras model names; it is run.

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
    file, function = function_of(path if record is None else folder.encoder)
    loading = Loading(
        trust=trust,
        function=function,
        origin=str(file.absolute()) if function else "",
        shape=Preprocessing.model_validate(dict(asked or {})).shape,
        layer=layer,
        custom_objects=_code(custom_objects, trust=trust),
    )
    network = open_network(file, loading)
    takes_images = network.input  # what is no encoder of images is refused here
    if record is not None:
        takes = PixelRange(record.preprocessing.value_range, "it was trained so")
    else:
        takes = network.pixel_range()
    heads, notes = _heads(network, path, outputs, takes.value_range or UNIT)
    if network.input.any_size and "size" not in (asked or {}):
        shown = f"{network.input.height}x{network.input.width}"
        notes.append(
            f"images of {shown} are assumed for encoder {path.name}, which takes any; if it was trained on "
            f"others, give {parameter('size')}"
        )
    is_vae = record is not None and record.parameters.kind == "vae"
    return Encoder(
        name=path.resolve().name,
        sha256=sha256(file),
        latent_shape=_latent_shape(network, path, heads),
        outputs=tuple(head.array for head in heads),
        takes_images=takes_images,
        preprocessing=record.preprocessing if record else None,
        epsilon_limit=record.parameters.epsilon_limit if record and is_vae else None,
        epsilon_factor=record.parameters.epsilon_factor if record and is_vae else None,
        versions=network.versions(),
        batch_size=network.input.batch or batch_size,
        heads=heads,
        takes=takes,
        notes=tuple(notes),
        network=network,
        file=file,
        loading=loading,
        training=_training(record) if record else {},
    )


def _training(record: RunRecord) -> dict[str, Any]:
    """Return what tells kinds of runs apart, and the seed of the first weights: a resume may have another."""
    parameters = record.parameters
    fact = {"fact": parameters.fact} if parameters.kind == "vae" else {}
    first = [start.seed for start in record.starts if start.after_epoch == 0]
    seed = first[-1] if first else parameters.seed
    return {"kind": parameters.kind, **fact, "batch_norm": parameters.batch_norm, "seed": seed}


def _code(path: Path | None, *, trust: bool) -> Code | None:
    """Read a Python file that is run when a model is loaded."""
    if path is None:
        return None
    if not path.is_file():
        raise ParameterError("is no file; expected a Python file", field="custom_objects", value=path)
    if not trust:
        raise UnsafeInputError(
            f"{path}: is a Python file, which is run to load the model: if you know who wrote it, repeat "
            f"with {parameter('trust_model', True)}"
        )
    try:
        return Code(path.name, decode_source(path.read_bytes()))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"cannot be read ({error}); expected Python in UTF-8, or in the encoding that it declares",
            field="custom_objects",
            value=path,
        ) from None


def _unpacked(content: Packed, own: dict[str, Any]) -> Encoder:
    """Restore an encoder that was sent from elsewhere; a model is loaded once by a process."""
    network = unpacked(content, own["loading"], open_network)
    return Encoder(**own, network=network, file=Path(content.name))


def check_input(encoder: Encoder, preprocessing: Preprocessing, *, override: bool = False) -> None:
    """Check that images prepared in this way are what the encoder takes.

    Parameters
    ----------
    encoder
        The encoder.
    preprocessing
        How images are prepared.
    override
        Whether their range may be another one than the model says.

    Raises
    ------
    UsageError
        With the shape or the range that is expected, and the one that comes.
    """
    own, got = encoder.takes_images, preprocessing.shape
    shape = (own.height or got[0], own.width or got[1], own.channels or got[2])
    if shape[:2] != got[:2]:
        raise ParameterError(
            f"encoder {encoder.name} takes images of {shape}; give {parameter('size', _sides(shape))}",
            field="size",
            value=preprocessing.size,
        )
    if shape[2] != got[2]:
        fitting = {1: "grey", 3: "rgb"}.get(shape[2], shape[2])
        raise ParameterError(
            f"encoder {encoder.name} takes images of {shape}; give {parameter('channels', fitting)}",
            field="channels",
            value=preprocessing.channels,
        )
    takes, (low, high) = encoder.takes.value_range, preprocessing.value_range
    if takes is not None and not override and is_bytes(takes) != is_bytes((low, high)):
        expected = "0..255 (it rescales them itself)" if is_bytes(takes) else "about 0..1 or -1..1"
        raise ParameterError(
            f"encoder {encoder.name} takes values in {expected}; leave it out, or give "
            f"{parameter('override_preprocessing', True)} if you know better",
            field="value_range",
            value=f"{low:g}:{high:g}",
        )


def _beyond_unit(pixels: NDArray[Any] | None) -> str:
    """Return the range of floats that lie outside 0..1 by more than a filter overshoots; none of others."""
    if pixels is None or pixels.dtype.kind != "f" or not pixels.size:
        return ""
    low, high = float(pixels.min()), float(pixels.max())
    return "" if -OVERSHOOT <= low <= high <= 1 + OVERSHOOT else f"{low:.3g}..{high:.3g}"


def _sides(shape: tuple[int, ...]) -> str:
    """Write height and width as the option takes them."""
    return f"{shape[0]}" if shape[0] == shape[1] else f"{shape[0]}x{shape[1]}"


def _heads(
    network: Network, path: Path, asked: Mapping[str, Source] | None, limits: tuple[float, float]
) -> tuple[tuple[Head, ...], list[str]]:
    """Return which outputs become which arrays, and what to say of it."""
    names, shapes = network.names, network.shapes
    if asked is None:
        heads = heads_by_name(path, names, shapes)
    else:
        heads = heads_as_asked(path, names, shapes, asked)
        try:
            [network.shape_of(head.source) for head in heads]
        except (ValueError, AttributeError) as error:
            raise ParameterError(
                f"{' '.join(str(error).split())[:500]}; the outputs of {path} are "
                f"{', '.join(own[0] for own in names)}",
                field="outputs",
                value=",".join(f"{meaning}={source}" for meaning, source in asked.items()),
            ) from None
    _latent_shape(network, path, heads)
    try:
        heads, notes = network.steady_heads(heads, limits)
    except (ParameterError, UnsafeInputError):
        raise
    except Exception as error:  # noqa: BLE001 (a layer of someone's own may raise anything)
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ParameterError(
            f"cannot encode a batch of images: {reason}", field="model", value=path
        ) from None
    return heads, [*notes, *notes_on(heads, asked=asked is not None)]


def _latent_shape(network: Network, path: Path, heads: tuple[Head, ...]) -> tuple[int, ...]:
    """Return the axes of a latent, which all heads share."""
    shapes: list[Shape] = [network.shape_of(head.source) for head in heads]
    several = len(network.names) > 1
    takes = network.input
    images = ((takes.height, takes.width, takes.channels), (takes.channels, takes.height, takes.width))
    for head, shape in zip(heads, shapes, strict=True):
        if len(shape) < 2 or None in shape[1:]:
            raise ParameterError(
                f"expected {head.array} of shape (n, components), or with more axes of known length, got "
                f"{shape_text(shape)}",
                field="model",
                value=path,
            )
        if shape[1:] in images:
            raise ParameterError(
                f"its output {head.name} has the shape of its images, {shape_text(shape)}: expected an "
                "encoder, not a whole autoencoder; name the layer that is the latent, "
                f"{parameter('outputs', 'z=LAYER')}"
                + (
                    f", or leave that output out, as in {parameter('outputs', '-,mu,logvar')}"
                    if several
                    else ""
                ),
                field="model",
                value=path,
            )
    if len(set(shapes)) != 1:
        raise ParameterError(
            f"expected mu and logvar of one shape, got {', '.join(map(shape_text, shapes))}; "
            f"see {parameter('outputs')}",
            field="model",
            value=path,
        )
    return tuple(side for side in shapes[0][1:] if side is not None)

"""Random z-points of several kinds, decoded, and how their images lie among those of real points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from latentscan.analyses.analysis import Analysis, Parameters, Request
from latentscan.analyses.collapse import COLLAPSE, CollapseParameters
from latentscan.analyses.functions import call
from latentscan.analyses.inputs import StoreAndDecoder
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.analyses.randoms.generators import CEILING, FLOORS, draw
from latentscan.analyses.randoms.lines import follow_lines
from latentscan.errors import TooFewImagesError
from latentscan.kernels.coverage import Reference, fidelity, principal_space
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.rows import choose_points, gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Setting, Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.randoms.lines import Lines
    from latentscan.execution.context import Execution
    from latentscan.kernels.coverage import Fidelity
    from latentscan.models.decoder import Decoder
    from latentscan.store.reader import LatentStore

CORE_ROWS = 4000  # of whose inner half the core is made
SHOWN = 12  # images of each generator that the result holds
SHOWN_SIDE = 48  # at most, pixels
GENERATOR = ("generator",)
_FIGURES = ("precision", "recall", "density", "coverage")


class RandomsParameters(Parameters):
    """How many points are decoded, and how their images are compared."""

    points: int = Field(default=500, ge=10, le=20_000, description="z-points of each generator")
    uniform: tuple[float, ...] = Field(
        default=(1.0, 2.0, 4.0), max_length=20, description="B of points uniform in ±B, one generator each"
    )
    nearest: int = Field(default=5, ge=1, le=100, description="a real image's ball reaches to this neighbour")
    axes: int = Field(
        default=40, ge=1, le=1000, description="principal components in which images are compared"
    )
    pairs: int = Field(
        default=300,
        ge=2,
        le=100_000,
        description="lines between two real points, which show whether the space has fragments",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the points and of the real images")

    @field_validator("uniform")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < bound <= 1e6 for bound in value):
            raise ValueError(f"expected numbers above 0 and at most 1e6, got {value}")
        return value


def compare_generators(task: Task[RandomsParameters, StoreAndDecoder]) -> Result:
    """Decode points of every generator, and compare their images with those of real points; follow lines.

    Raises
    ------
    TooFewImagesError
        If the store has too few good images for two samples.
    UsageError
        If the encoder or the decoder cannot be read.
    """
    from latentscan.models.decoder import load_decoder

    parameters, snapshot = task.parameters, task.inputs.snapshot
    cloud = task.result_of(Request(PCA, PcaParameters(array="z")))
    most = max(_drawn(parameters), 2 * parameters.pairs)
    images = sample_images(snapshot, most, parameters.seed, task.execution).images
    count = min(parameters.points, len(images) // 2)
    if count <= parameters.nearest:
        raise TooFewImagesError(
            f"expected more than {2 * parameters.nearest} good images for two samples of real ones, got "
            f"{len(images):,}",
            field="nearest",
            value=parameters.nearest,
        )
    rows = gather_rows(snapshot, "z", images[: _drawn(parameters)], task.execution)
    points = {
        CEILING: rows[count : 2 * count],
        **draw(cloud, rows[:CORE_ROWS], parameters.points, parameters.seed, parameters.uniform),
    }
    decoder = load_decoder(task.inputs.decodes)
    real = _decode(decoder, rows[:count], "real images", task.execution)
    mean, axes = principal_space(real.reshape(count, -1), parameters.axes)
    reference = Reference.of((real.reshape(count, -1) - mean) @ axes, parameters.nearest)
    found: list[Fidelity] = []
    sheets: list[NDArray[np.uint8]] = []
    for name, z in points.items():
        made = _decode(decoder, z, name, task.execution)
        found.append(fidelity(reference, (made.reshape(len(made), -1) - mean) @ axes))
        sheets.append(_small(made[: min(SHOWN, count)]))
    lines = _lines(task, decoder, images)
    return Result(
        {
            "generator": Variable(GENERATOR, np.array(list(points), object)),
            **_figures(found),
            "sheet": Variable((*GENERATOR, "tile", "y", "x", "channel"), np.stack(sheets)),
            **lines.variables,
        },
        {
            "images": snapshot.schema.images,
            "points": parameters.points,
            "real": count,
            "nearest": parameters.nearest,
            "axes": axes.shape[1],
            "floors": list(FLOORS),
            "ceiling": CEILING,
            **lines.attributes,
        },
    )


def _lines(
    task: Task[RandomsParameters, StoreAndDecoder], decoder: Decoder, images: NDArray[np.int64]
) -> Lines:
    paired = images[: 2 * min(task.parameters.pairs, len(images) // 2)]
    return follow_lines(task.inputs, decoder, task.result_of(_collapse()), paired, task.execution)


def _drawn(parameters: RandomsParameters) -> int:
    """Return how many real points generators are drawn after, and compared with."""
    return max(2 * parameters.points, CORE_ROWS)


def _collapse() -> Request:
    return Request(COLLAPSE, CollapseParameters())


def _decode(
    decoder: Decoder, z: NDArray[np.float32], label: str, execution: Execution
) -> NDArray[np.float64]:
    with execution.progress.task(f"decode {label}", len(z), "points") as advance:
        made = decoder.decode_unit(z).astype(np.float64)
        advance(len(z))
    return made


def _small(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return images as bytes, (tile, y, x, channel), averaged over squares where they are large."""
    step = max(1, -(-max(images.shape[1:3]) // SHOWN_SIDE))
    height, width = (side // step * step for side in images.shape[1:3])
    cut = images[:, :height, :width]
    squares = cut.reshape(len(cut), height // step, step, width // step, step, -1)
    small: NDArray[np.uint8] = np.rint(255 * np.clip(squares.mean(axis=(2, 4)), 0, 1)).astype(np.uint8)
    return small


def _figures(found: Sequence[Fidelity]) -> dict[str, Variable]:
    variables = {}
    for name in _FIGURES:
        shares = [getattr(one, name) for one in found]
        variables[name] = Variable(GENERATOR, np.array([share.value for share in shares]))
        for end in ("low", "high"):
            ends = np.array([getattr(share, end) for share in shares])
            variables[f"{name}_{end}"] = Variable(GENERATOR, ends)
    return variables


def _requires(_parameters: RandomsParameters) -> list[Request]:
    return [Request(PCA, PcaParameters(array="z")), _collapse()]


def _cost(setting: Setting, parameters: RandomsParameters) -> Cost:
    """Return what is read of the store, as if its encoder were known; the process that is asked decodes."""
    schema = setting.schema
    points = gathering(schema, _drawn(parameters), "z")
    ends = gathering(schema, 2 * parameters.pairs, choose_points(schema, "auto"))
    return in_turn([one_pass(schema, ()), points, ends])


LABELS = {
    "generator": ("how the points were drawn", ""),
    "precision": ("share of the images that are among the real ones", "1"),
    "recall": ("share of the real images that are among the images", "1"),
    "density": ("how many balls of real images an image is in, over the k of the balls", "1"),
    "coverage": ("share of the real images in whose ball there is an image", "1"),
    **{
        f"{name}_{end}": (f"{side} end of the 95 % interval of {name}", "1")
        for name in _FIGURES
        for end, side in (("low", "lower"), ("high", "upper"))
    },
    "sheet": ("some of the images", "1"),
    "pair": ("rows of the images whose points are the ends of a line", "1"),
    "place": ("place on a line, from 0 to 1", "1"),
    "miss": ("distance of a point from itself, decoded and encoded, over the usual length of a line", "1"),
}

RANDOMS = Analysis(
    name="randoms",
    version=2,
    parameters=RandomsParameters,
    inputs=StoreAndDecoder,
    requires=_requires,
    compute=compare_generators,
    cost=_cost,
    labels=LABELS,
    rows=("pair",),
)


def randoms(
    store: LatentStore,
    model: str | Path,
    decoder: str | Path | None = None,
    *,
    points: int = 500,
    uniform: tuple[float, ...] = (1.0, 2.0, 4.0),
    nearest: int = 5,
    axes: int = 40,
    pairs: int = 300,
    seed: int = 0,
    **options: Unpack[Options],
) -> Dataset:
    """Decode random z-points, and measure which of them become images like the real ones, and how many.

    Where the encoder is known, also whether the latent space falls into fragments: points at five places on
    lines between two real points (mu where there is one, else z) are decoded and encoded again. A point
    misses itself by |E(D(z)) - z|, here over the median length of a line, with components weighted by their
    share of signal where the store has mu and logvar: noise of a dead component does not come back.

    Parameters
    ----------
    store
        The latent store.
    model
        The run folder that wrote it, or its encoder with the decoder beside it, or its decoder alone.
    decoder
        The decoder, where the model is an encoder.
    points
        How many points of each generator.
    uniform
        The B of points uniform in ±B; each is a generator.
    nearest
        The ball of a real image reaches to this neighbour among the real ones.
    axes
        In how many principal components of real images, as decoded, all are compared.
    pairs
        How many lines between two real points.
    seed
        Seed of the points, and of the sample of real images.
    **options
        See `Options`.

    Returns
    -------
    For every `generator`, each with the ends of a 95 % interval, `_low` and `_high`: `precision`, the share
    of its images that are among the real ones; `recall`, the share of real ones among its images
    (Kynkäänniemi et al. 2019); `density` and `coverage` (Naeem et al. 2020). The first generator is another
    sample of real images: the ceiling. Real images are their z, decoded. `sheet` (generator, tile, y, x,
    channel) has some of the images.

    Of every `line`, the rows of its two images, `pair` (line, end), and by how much its points miss
    themselves, `miss` (line, place), at every `place`. The attribute `fragments` is the share of the places
    between the ends where that is more than `miss_threshold`, the 95 % quantile of the ends and at least .01,
    with its 95 % interval, Wilson's of clusters (`latentscan.kernels.fragments.clustered_share`); by chance
    it is 5 %. `fragments_verdict` is ``"fragments"`` where the interval lies above 10 %, ``"none"`` where it
    lies below, else ``"undecided"``; `miss_at_ends` and `miss_in_middle` are medians. That nothing is found
    says little of models that contract: what they pull to the middle comes back as well. Without an encoder,
    the attribute `missing` says so instead.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the model is not that of the store.
    ParameterError
        If a parameter does not fit.
    """
    given: dict[str, Any] = {
        "points": points,
        "uniform": uniform,
        "nearest": nearest,
        "axes": axes,
        "pairs": pairs,
        "seed": seed,
    }
    return call(RANDOMS, {"store": store, "model": model, "decoder": decoder}, given, options)

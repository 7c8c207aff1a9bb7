"""The reconstruction losses of some images of a store, beside their floor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError
from latentscan.images.source import Status
from latentscan.kernels.intervals import GROUPS, jackknife_error
from latentscan.kernels.reconstruction import floors, image_losses, mean_image_loss
from latentscan.scan.rows import gather_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.images.source import ImageSource
    from latentscan.models.decoder import Decoder
    from latentscan.scan.snapshot import Snapshot

    Floats = NDArray[np.float64]
    Figures = dict[str, tuple[float, float]]  # value and standard error, by name

TOGETHER = 128  # images that are held at once


@dataclass(frozen=True)
class Rows:
    """Some images of a store.

    Parameters
    ----------
    images
        Their numbers, (n,).
    latents
        Their rows, (n, component), by array.
    """

    images: NDArray[np.int64]
    latents: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(
        cls, snapshot: Snapshot, images: NDArray[np.int64], arrays: Iterable[str], execution: Execution
    ) -> Rows:
        """Read the rows of some images."""
        return cls(images, {name: gather_rows(snapshot, name, images, execution) for name in arrays})

    def first(self, count: int) -> Rows:
        """Return the first of them."""
        return Rows(self.images[:count], {name: rows[:count] for name, rows in self.latents.items()})

    @property
    def decoded(self) -> dict[str, NDArray[np.float32]]:
        """What is decoded, by the name of the loss: mu, and z beside it; z alone of an autoencoder."""
        if "mu" not in self.latents:
            return {"reconstruction": self.latents["z"]}
        noisy = {"reconstruction_of_z": self.latents["z"]} if "z" in self.latents else {}
        return {"reconstruction": self.latents["mu"], **noisy}


@dataclass
class _Sums:
    """What is known of a group of the images so far."""

    images: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    pixels: Any = 0.0
    squares: Any = 0.0

    def add(self, losses: dict[str, Floats], target: Floats) -> None:
        self.images += len(target)
        for name, values in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + float(values.sum())
        self.pixels = self.pixels + target.sum(axis=0)
        self.squares = self.squares + (target**2).sum(axis=0)

    def plus(self, other: _Sums) -> _Sums:
        names = self.losses | other.losses
        return _Sums(
            self.images + other.images,
            {name: self.losses.get(name, 0.0) + other.losses.get(name, 0.0) for name in names},
            self.pixels + other.pixels,
            self.squares + other.squares,
        )

    def figures(self, kind: str) -> dict[str, float]:
        """Return what the ledger says of these images."""
        found = {name: total / self.images for name, total in self.losses.items()}
        of_mean = mean_image_loss(self.pixels / self.images, self.squares / self.images, kind)
        found["mean_image_excess"] = of_mean - found["floor"]
        for name in ("", "_of_z"):
            if f"reconstruction{name}" in found:
                found[f"excess{name}"] = found[f"reconstruction{name}"] - found["floor"]
        if "excess" in found:
            above = found["mean_image_excess"]
            found["excess_share"] = found["excess"] / above if above > 0 else float("nan")
        return found


@dataclass(frozen=True)
class Compared:
    """Losses of neighbouring images among some of a store.

    Parameters
    ----------
    start
        The position of the first one.
    good
        Which of them could be read, (image,).
    losses
        The floor, and the loss of each kind of points, (image,), by name.
    target
        The images in 0..1, (image, height, width, channel).
    """

    start: int
    good: NDArray[np.bool_]
    losses: dict[str, Floats]
    target: Floats


def compare_images(
    rows: Rows, source: ImageSource, decoder: Decoder | None, kind: str, advance: Callable[[int], None]
) -> Iterator[Compared]:
    """Decode the points of images, and yield their losses, some images after others.

    Parameters
    ----------
    rows, source, decoder, kind
        Those of `measure_losses`.
    advance
        Called with the number of images that are done.

    Raises
    ------
    UsageError
        If the decoder makes images of another shape.
    """
    points = rows.decoded if decoder is not None else {}
    for start in range(0, len(rows.images), TOGETHER):
        part = slice(start, start + TOGETHER)
        read = source.take(rows.images[part].tolist())
        target = _unit(read.values)
        losses = {"floor": floors(target, kind)}
        for name, z in points.items():
            losses[name] = image_losses(target, _decoded(decoder, z[part], target.shape[1:]), kind)
        yield Compared(start, read.status == Status.GOOD, losses, target)
        advance(len(target))


def measure_losses(
    rows: Rows, source: ImageSource, decoder: Decoder | None, kind: str, execution: Execution
) -> Figures:
    """Compute the losses of some images, averaged over them, with their standard errors.

    Parameters
    ----------
    rows
        Which images, and their latents; images that cannot be read any more are left out.
    source
        The images of the store.
    decoder
        Of its model; without one, what needs none is computed.
    kind
        Of the reconstruction loss: ``bce`` or ``mse``.
    execution
        Who hears of it.

    Raises
    ------
    UsageError
        If the decoder makes images of another shape, or none of the images can be read.
    """
    count = len(rows.images)
    groups = [_Sums() for _ in range(min(GROUPS, count))]
    with execution.progress.task("compare images", count, "images") as advance:
        for part in compare_images(rows, source, decoder, kind, advance):
            of = np.arange(part.start, part.start + len(part.good)) % len(groups)
            for number, group in enumerate(groups):
                chosen = part.good & (of == number)
                if chosen.any():
                    group.add({name: one[chosen] for name, one in part.losses.items()}, part.target[chosen])
    held = [group for group in groups if group.images]
    if not held:
        raise UsageError(f"none of {count} images of the store can be read any more")
    return _with_errors(held, kind)


def _with_errors(groups: list[_Sums], kind: str) -> Figures:
    """Return figures of all groups together, with errors by the jackknife over groups."""
    whole = _Sums()
    for group in groups:
        whole = whole.plus(group)
    found = whole.figures(kind)
    without = []
    for left_out in groups if len(groups) > 1 else []:
        rest = _Sums()
        for group in groups:
            rest = rest if group is left_out else rest.plus(group)
        without.append(list(rest.figures(kind).values()))
    errors = jackknife_error(np.array(without)) if without else np.full(len(found), np.nan)
    return {name: (value, float(error)) for (name, value), error in zip(found.items(), errors, strict=True)}


def _unit(values: NDArray[Any]) -> Floats:
    """Return pixels in 0..1."""
    largest = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    return values.astype(np.float64) / largest


def _decoded(decoder: Decoder | None, z: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if decoder is None:
        raise TypeError
    if decoder.shape != shape:
        raise UsageError(
            f"decoder {decoder.name} makes images of {'x'.join(map(str, decoder.shape))}, those of the store "
            f"are {'x'.join(map(str, shape))}; name the decoder of the store's model"
        )
    return decoder.decode_unit(z)

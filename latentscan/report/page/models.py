"""What a page says of the models behind its stores: their training, and what their decoders make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.decoded import decode_random, reconstruct
from latentscan.errors import LatentscanError
from latentscan.models.history import JUMP, SETTLED, divergence, reconstruction
from latentscan.models.run_folder import RunFolder, is_another
from latentscan.report.page.chapter import Chapter, Part, picture_url
from latentscan.report.section import Section
from latentscan.report.style import COLOURS
from latentscan.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from latentscan.analyses.decoded import RandomPoints, Reconstructions
    from latentscan.execution.context import Execution
    from latentscan.models.history import Curve
    from latentscan.scan.snapshot import Snapshot

POINTS = 8  # random ones
OF_EACH = 3  # of the best, the middle and the worst images
SEED = 0
LONGEST_NAME = 16

_TRAINING = "Losses over the epochs of each training; a ring marks a jump."
_DECODED = (
    "Random z-points, of a Gaussian with the mean and the covariance of the store's z, as the decoder shows "
    "them, and real images beside their reconstructions."
)


def model_chapters(
    models: Mapping[str, Path],
    snapshots: Mapping[str, Snapshot],
    images: str | None,
    root: str | None,
    said: list[str],
    execution: Execution,
    *,
    trust: bool,
) -> list[Chapter]:
    """Return what a page says of models.

    Parameters
    ----------
    models
        Run folders or decoders, by the name of the store that they wrote.
    snapshots
        The stores, by name.
    images, root
        The images that the stores are of, and the folder that a list's paths are relative to.
    said
        Hears why something cannot be shown, a line each.
    execution
        Where tasks run.
    trust
        Whether models may be files that can run code.
    """
    curves = {}
    for name, path in models.items():
        history = RunFolder(path).read_history()
        if history:
            curves[name] = (reconstruction(history), divergence(history))
    chapters = [_training(curves)] if curves else []
    parts, details = [], []
    for name, path in models.items():
        if is_another(path, snapshots[name].store.attributes.get("encoder")):
            said.append(f"{name} was written by another model than {one_line(path)}")
        try:
            found = _decoded(name, path, snapshots[name], images, root, execution, trust=trust)
        except LatentscanError as error:
            said.append(f"not decoded: {name}: {one_line(error)}")
            continue
        parts += found[0]
        details += found[1]
    if parts:
        chapters.append(
            Chapter("decoded", Section("Decoded", _DECODED, details=tuple(details)), tuple(parts))
        )
    return chapters


def _training(curves: Mapping[str, tuple[Curve, Curve | None]]) -> Chapter:
    picture, width, height = picture_url(history_figure(curves))
    details = tuple(_history_in_words(name, *both) for name, both in curves.items())
    section = Section(
        "Training",
        _TRAINING,
        details=details,
        reading={
            "reconstruction loss": "of an image, as the training sums it over pixels; much of a binary "
            "cross-entropy is the images' own entropy, which no model can remove.",
            "KL": "divergence from N(0, 1) in nats an image, before it is scaled; what the factor of the KL "
            "loss makes of it is in history.csv.",
            "jump": f"a change by a factor of more than {np.exp(JUMP):.2f} from one epoch to the next, which "
            f"the epoch before had not begun; the first {SETTLED} are left out.",
        },
    )
    return Chapter("training", section, (Part(tuple(curves), picture, width, height, ()),))


def _history_in_words(name: str, loss: Curve, kl: Curve | None) -> str:
    jumps = [
        f"{what} by {factor:.2f} in epoch {epoch}"
        for what, curve in (("the reconstruction loss", loss), ("KL", kl))
        if curve is not None
        for epoch, factor in curve.jumps
    ]
    of_kl = "" if kl is None else f", KL {kl.values[-1]:.4g} nat"
    where = "of the probe" if loss.is_probe else "averaged over the epoch"
    said = (
        f"jumps: {', '.join(jumps)}"
        if jumps
        else f"no jump after the first {SETTLED}"
        if len(loss.epochs) > SETTLED
        else "too few to see jumps"
    )
    return (
        f"{name}: reconstruction loss {loss.values[-1]:,.5g}{of_kl} after {len(loss.epochs)} epochs, "
        f"{where}; {said}."
    )


def history_figure(curves: Mapping[str, tuple[Curve, Curve | None]]) -> Figure:
    """Plot the losses of trainings, by name."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with_kl = any(kl is not None for _, kl in curves.values())
    drawing = Figure(figsize=(8.0 if with_kl else 4.6, 3.2), layout="constrained")
    panels = drawing.subplots(1, 2 if with_kl else 1, squeeze=False)[0]
    for at, axes in enumerate(panels):
        for number, (name, both) in enumerate(curves.items()):
            curve, colour = both[at], COLOURS[number % len(COLOURS)]
            if curve is None:
                continue
            axes.plot(curve.epochs, curve.values, marker=".", color=colour, label=name)
            value_of = dict(zip(curve.epochs, curve.values, strict=True))
            jumped = [epoch for epoch, _ in curve.jumps]
            axes.scatter(
                jumped,
                [value_of[epoch] for epoch in jumped],
                s=90,
                facecolors="none",
                edgecolors=colour,
                linewidths=1.5,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel("reconstruction loss" if at == 0 else "KL, nat an image")
        if at:
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    return drawing


def _decoded(
    name: str,
    path: Path,
    snapshot: Snapshot,
    images: str | None,
    root: str | None,
    execution: Execution,
    *,
    trust: bool,
) -> tuple[list[Part], list[str]]:
    """Return pictures and sentences of one store."""
    from latentscan.encoding.stored_images import pixels_of
    from latentscan.models.decoder import load_decoder
    from latentscan.scan.rows import paths_of

    decoder = load_decoder(path, trust=trust)
    found = decode_random(decoder, snapshot, POINTS, SEED, execution)
    paths = paths_of(snapshot, found.nearest)
    real = None if images is None else pixels_of(snapshot.store, found.nearest, paths, images, root)
    parts = [_part(name, random_figure(name, found, paths.tolist(), real))]
    details = [_random_in_words(name, found)]
    if images is not None:
        made = reconstruct(decoder, snapshot, images, root, SEED, execution)
        if len(made.rows):
            parts.append(_part(name, reconstruction_figure(name, made)))
            details.append(_reconstructions_in_words(name, made))
    return parts, details


def _part(name: str, drawing: Figure) -> Part:
    return Part((name,), *picture_url(drawing), ())


def _random_in_words(name: str, found: RandomPoints) -> str:
    low, high = found.distances.min(), found.distances.max()
    return (
        f"{name}: {len(found.distances)} random points lie {low:.3g} to {high:.3g} from the nearest real "
        f"one, median {np.median(found.distances):.3g}; real ones lie {found.usual:.3g} apart."
    )


def _reconstructions_in_words(name: str, made: Reconstructions) -> str:
    return (
        f"{name}: decoded {made.array} differs from the image by {np.median(made.errors):.3g} in the "
        f"median, from {made.errors[0]:.3g} to {made.errors[-1]:.3g} (root mean square of pixels in 0..1, a "
        f"sample of {len(made.rows):,} images)."
    )


def random_figure(
    name: str, found: RandomPoints, paths: Sequence[str], real: Sequence[NDArray[np.uint8] | str] | None
) -> Figure:
    """Draw decoded random points above the real images that are nearest to them."""
    rows: list[tuple[str, Sequence[NDArray[np.uint8] | str], list[str]]] = [
        ("random z, decoded", list(found.images), [f"at {distance:.3g}" for distance in found.distances])
    ]
    if real is not None:
        rows.append(("the nearest image", real, [_short(path) for path in paths]))
    return _grid(f"{name}: random points and what is nearest", rows)


def reconstruction_figure(name: str, made: Reconstructions) -> Figure:
    """Draw the best, the middle and the worst images above their reconstructions."""
    count = min(OF_EACH, len(made.rows) // 3 or 1)
    middle = max(0, len(made.rows) // 2 - count // 2)
    chosen = np.unique(
        np.r_[:count, middle : middle + count, len(made.rows) - count : len(made.rows)].clip(0)
    )
    return _grid(
        f"{name}: the best, the median and the worst reconstructions",
        [
            ("image", list(made.originals[chosen]), [_short(path) for path in made.paths[chosen].tolist()]),
            ("decoded", list(made.images[chosen]), [f"{error:.3g}" for error in made.errors[chosen]]),
        ],
    )


def _grid(title: str, rows: Sequence[tuple[str, Sequence[NDArray[np.uint8] | str], Sequence[str]]]) -> Figure:
    """Draw rows of images, each with a name, and a label below each image."""
    from matplotlib.figure import Figure

    columns = max(len(images) for _, images, _ in rows)
    drawing = Figure(figsize=(0.6 + 0.95 * columns, 0.4 + 1.15 * len(rows)), layout="constrained")
    drawing.suptitle(title, fontsize="medium")
    panels = drawing.subplots(len(rows), columns, squeeze=False)
    for (label, images, labels), line in zip(rows, panels, strict=True):
        for axes in line:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize="small")
        for axes, image, below in zip(line, images, labels, strict=False):
            if isinstance(image, str):
                axes.text(0.5, 0.5, image, ha="center", va="center", fontsize="x-small", wrap=True)
            else:
                axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_xlabel(below, fontsize="x-small")
    return drawing


def _short(path: Any) -> str:
    text = one_line(path)
    return text if len(text) <= LONGEST_NAME else f"…{text[1 - LONGEST_NAME :]}"

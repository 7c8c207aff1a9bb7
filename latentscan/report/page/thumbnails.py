"""Small images, many on a sheet, for a page that shows them at once."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError
from latentscan.images.channels import as_pictures
from latentscan.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.execution.executor import Control
    from latentscan.images.source import ImageSource
    from latentscan.scan.snapshot import Snapshot

INLINE = 20_000  # thumbnails inside a page, at most
SIDES = ((4_000, 96), (INLINE, 64))  # pixels of a thumbnail where there are at most so many
LARGE = 96  # pixels of those beside the page
COLUMNS, LINES = 20, 25  # thumbnails on a sheet
QUALITY = 60


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails on sheets, row after row, one sheet after another.

    Parameters
    ----------
    place
        Which thumbnail an image has, (n,); −1 for none.
    side
        Its width and height in pixels.
    urls
        Where the sheets are: data, or files beside the page.
    """

    place: NDArray[np.int32]
    side: int
    urls: tuple[str, ...]


def open_pictures(images: str, root: str | None, snapshot: Snapshot, side: int) -> ImageSource:
    """Open images as they are shown: the part that the encoder saw, in colours.

    Parameters
    ----------
    images, root
        Where they are.
    snapshot
        A store of them.
    side
        Width and height, pixels.
    """
    try:
        seen = Preprocessing.model_validate(snapshot.store.attributes.get("preprocessing") or {})
    except ValueError:  # of a store of other software
        seen = Preprocessing()
    shown = Preprocessing(
        crop=seen.crop,
        fit=seen.fit,
        orientation=seen.orientation,
        alpha=seen.alpha,
        channels=seen.channels if isinstance(seen.channels, int) else "rgb",
        size=side,
        resampling="box",
    )
    return open_source(images, shown, root=root, recorded=snapshot.store.attributes.get("source"))


def make_thumbnails(
    images: str,
    root: str | None,
    snapshot: Snapshot,
    paths: NDArray[np.object_],
    first: NDArray[np.int64],
    folder: tuple[Path, str] | None,
    execution: Execution,
) -> Thumbnails:
    """Make the thumbnails of a page's images, those that matter first.

    Parameters
    ----------
    images, root
        Where the images are.
    snapshot
        A store of them.
    paths
        Of the page's images, (n,).
    first
        Images by importance.
    folder
        Where sheets are written, and what the page calls that; None for sheets inside the page.
    execution
        Where images are decoded.

    Raises
    ------
    ParameterError
        If none of the images is there.
    """
    most = len(first) if folder is not None else min(len(first), INLINE)
    side = LARGE if folder is not None else next(side for limit, side in SIDES if most <= limit)
    source = open_pictures(images, root, snapshot, side)
    chosen, rows = _rows_of(source, paths, first[:most], images)
    sheets = [range(at, min(at + COLUMNS * LINES, len(rows))) for at in range(0, len(rows), COLUMNS * LINES)]

    def make(sheet: range, _control: Control) -> bytes:
        return _sheet(source, rows[sheet.start : sheet.stop], side)

    with execution.progress.task("thumbnails", len(rows), "images") as advance:
        made = execution.executor.run_tasks(make, sheets, on_done=lambda sheet: advance(len(sheet)))
    place = np.full(len(paths), -1, np.int32)
    place[chosen] = np.arange(len(chosen))
    return Thumbnails(place, side, tuple(_url(at, sheet, folder) for at, sheet in enumerate(made)))


def _rows_of(
    source: ImageSource, paths: NDArray[np.object_], wanted: NDArray[np.int64], images: str
) -> tuple[NDArray[np.int64], list[int]]:
    """Return which images are in a source, and their rows there."""
    row_of = {path: row for row, path in enumerate(source.paths)}
    found = [(place, row_of[path]) for place in wanted.tolist() if (path := paths[place]) in row_of]
    if not found and len(wanted):
        raise ParameterError(
            f"none of them has a path as {paths[wanted[0]]!r} in the store; name the images that it is of",
            field="images",
            value=images,
        )
    places, rows = zip(*found, strict=True) if found else ((), ())
    return np.array(places, np.int64), list(rows)


def _sheet(source: ImageSource, rows: list[int], side: int) -> bytes:
    from PIL import Image

    pixels = as_pictures(source.take(rows).values)
    lines = -(-len(rows) // COLUMNS)
    held = np.zeros((lines * COLUMNS, side, side, 3), np.uint8)
    held[: len(rows)] = pixels
    whole = held.reshape(lines, COLUMNS, side, side, 3).swapaxes(1, 2).reshape(lines * side, -1, 3)
    content = io.BytesIO()
    Image.fromarray(whole).save(content, "WEBP", quality=QUALITY, method=2)
    return content.getvalue()


def _url(number: int, content: bytes, folder: tuple[Path, str] | None) -> str:
    if folder is None:
        return f"data:image/webp;base64,{b64encode(content).decode()}"
    path, name = folder
    (path / f"thumbnails-{number}.webp").write_bytes(content)
    return f"{name}/thumbnails-{number}.webp"

"""The images that a store is of, opened again where they were, or where a user says they are now."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError, UsageError, parameter
from latentscan.images.channels import as_pictures
from latentscan.images.location import exists
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status
from latentscan.paths import absolute
from latentscan.store.image_array import is_zarr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.source import ImageSource
    from latentscan.store.reader import LatentStore


def is_of_images(store: LatentStore) -> bool:
    """Return whether a store was written from images, not from latents that were made elsewhere."""
    return "encoder" in store.attributes


def recorded_images(store: LatentStore) -> tuple[str | None, str | None]:
    """Return where the images of a store were, and the folder of their list; None for what is not known.

    The command that writes what is missing of the store says so.
    """
    words = shlex.split(store.resume_command) if is_of_images(store) else []
    given = dict(pairwise(words))
    images, root = (given.get(f"--{name}") for name in ("images", "root"))
    return images, root


def open_images_of(store: LatentStore, images: str | None = None, root: str | None = None) -> ImageSource:
    """Open the images of a store, prepared as its encoder saw them.

    Parameters
    ----------
    store
        The store.
    images
        Where they are; where they were encoded from if None.
    root
        The folder that a list's paths are relative to.

    Raises
    ------
    UsageError
        If it is not known where they are, or they are not those of the store.
    """
    known, known_root = recorded_images(store)
    location = images or known
    if location is None:
        raise UsageError(
            f"{store.location} does not say where its images are; name them with {parameter('images')}"
        )
    if images is None and not exists(location):
        raise ParameterError(
            f"the images of {store.location} are not there any more; name them where they are now",
            field="images",
            value=location,
        )
    chosen = Preprocessing.model_validate(store.attributes.get("preprocessing") or {})
    root = root if images is not None else known_root
    record = store.attributes.get("source", {}) if is_of_images(store) else None
    source = open_source(
        location,
        chosen,
        root=None if root is None else absolute(root),
        pixel_limit=None if record is None or is_zarr(location) else record.get("pixel_limit"),
        recorded=record,
    )
    if record is not None:
        found = source.describe()
        if (found["images"], found["sha256"]) != (record["images"], record["sha256"]):
            raise ParameterError(
                f"{found['images']:,} images, whose paths are not those of the {record['images']:,} in "
                f"{store.location}; name the images that were encoded",
                field="images",
                value=location,
            )
    return source


def pixels_of(
    store: LatentStore,
    rows: NDArray[np.int64],
    paths: NDArray[Any],
    images: str | None = None,
    root: str | None = None,
) -> list[NDArray[np.uint8] | str]:
    """Decode some images of a store, each (height, width, channels); a text instead says why it cannot be.

    Parameters
    ----------
    store
        The store.
    rows
        Which images, (n,).
    paths
        Their paths, (n,), by which they are found where the store was not written from images.
    images, root
        As of `open_images_of`.

    Raises
    ------
    UsageError
        If it is not known where they are, or they are not those of the store.
    """
    source = open_images_of(store, images, root)
    if is_of_images(store):
        found = {at: int(row) for at, row in enumerate(rows.tolist())}
    else:
        known = {path: row for row, path in enumerate(source.paths)}
        found = {at: known[path] for at, path in enumerate(paths.tolist()) if path in known}
    decoded: list[NDArray[np.uint8] | str] = ["not among the images"] * len(rows)
    read = source.take(list(found.values()))
    values = as_pictures(read.values, store.attributes.get("preprocessing", {}).get("channels"))
    for position, at in enumerate(found):
        bad = read.status[position] != Status.GOOD
        reason = Status(int(read.status[position])).name.lower().replace("_", " ")
        decoded[at] = reason if bad else values[position]
    return decoded

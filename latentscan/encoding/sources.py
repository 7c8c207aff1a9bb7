"""The images that are encoded: opened as a store was begun with them, prepared as the encoder takes them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError, parameter
from latentscan.images.endings import FIRST_RULES, RULES
from latentscan.images.labelled import label
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing, assumed
from latentscan.images.source import PIXEL_LIMIT
from latentscan.paths import absolute, as_path
from latentscan.progress import SILENT
from latentscan.store.image_array import is_zarr, open_array_source
from latentscan.store.metadata import read_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.images.endings import Rules
    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder
    from latentscan.paths import AnyPath
    from latentscan.progress import Progress


def open_source(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    *,
    root: str | AnyPath | None = None,
    pixel_limit: int | None = None,
    attributes: str | None = None,
    recorded: Mapping[str, Any] | None = None,
    rules: Rules = RULES,
    progress: Progress = SILENT,
) -> ImageSource:
    """Open images of any kind that `open_images` knows, or a Zarr array of them.

    Parameters
    ----------
    location
        Path or URL of the images.
    preprocessing
        How they are cropped and resized.
    root
        The folder of a list's paths; its own if None.
    pixel_limit
        Images of more pixels are rejected; `PIXEL_LIMIT` if None.
    attributes
        A table of what is known of the images, by their paths or in their order.
    recorded
        What a store or a training that was begun with these images says of them: a folder is listed as it
        was then, where it is the same.
    rules
        Which files of a folder are images by their names.
    progress
        Hears how far the listing of a large folder is.

    Raises
    ------
    UsageError
        If there are no images, or `root` or `pixel_limit` is given for an array; or if the table is not one
        of these images.
    """
    opened = partial(_open_images, location, preprocessing, root, pixel_limit, progress)
    source = opened(rules)
    if recorded is not None and not _is_of(source, recorded):
        as_then = opened(FIRST_RULES)
        if _is_of(as_then, recorded):
            source, rules = as_then, FIRST_RULES
    if attributes is None:
        return source
    return label(source, as_path(attributes)).opened_by(
        open_source,
        absolute(location),
        preprocessing=preprocessing,
        root=None if root is None else absolute(root),
        pixel_limit=pixel_limit,
        attributes=absolute(attributes),
        rules=rules,
    )


def _open_images(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    root: str | AnyPath | None,
    pixel_limit: int | None,
    progress: Progress,
    rules: Rules,
) -> ImageSource:
    if is_zarr(location):
        for field, value in (("root", root), ("pixel_limit", pixel_limit)):
            if value is not None:
                raise ParameterError(f"{location} is an array; leave it out", field=field, value=value)
        return open_array_source(location, preprocessing)
    return open_images(
        location,
        preprocessing,
        root=root,
        pixel_limit=pixel_limit or PIXEL_LIMIT,
        rules=rules,
        progress=progress,
    )


def _is_of(source: ImageSource, recorded: Mapping[str, Any]) -> bool:
    found = source.describe()
    return all(found[name] == recorded.get(name) for name in ("images", "sha256"))


def chosen_preprocessing(
    encoder: Encoder, asked: Mapping[str, Any], *, override: bool, begun: Mapping[str, Any] | None = None
) -> Preprocessing:
    """Return the preprocessing of an encoder's training, with those fields replaced that are asked for.

    Parameters
    ----------
    encoder
        Knows the preprocessing of its training, or what fits its input.
    asked
        Fields of `Preprocessing`, by name.
    override
        Whether they may differ from those of the training.
    begun
        The record of the preprocessing in the store that is to be gone on with: where the training is not
        known, images are loaded as for the rows before.

    Raises
    ------
    ParameterError
        If they differ, and must not.
    """
    own = encoder.default_preprocessing
    if encoder.preprocessing is None:
        own = assumed(own, begun)
    chosen = Preprocessing.model_validate({**own.model_dump(), **asked})
    changed = [name for name in asked if getattr(chosen, name) != getattr(own, name)]
    if encoder.preprocessing is not None and changed and not override:
        trained = ", ".join(parameter(name, getattr(own, name)) for name in changed)
        raise ParameterError(
            f"encoder {encoder.name} was trained with {trained}; leave it out, or give "
            f"{parameter('override_preprocessing', True)} to encode otherwise all the same",
            field=changed[0],
            value=getattr(chosen, changed[0]),
        )
    return chosen


def begun_with(location: str, name: str) -> dict[str, Any] | None:
    """Return a record, such as that of the preprocessing, in a store that was begun; None without one."""
    begun = (read_root(location) or {}).get("attributes", {}).get(name)
    return begun if isinstance(begun, dict) else None

"""Images in arrays that are no files could hold: any number of channels, and values of more than 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from latentscan.errors import ParameterError, parameter
from latentscan.images.decoding import fit
from latentscan.images.source import ImageRejectedError, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing

_GREY = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow has it
_COLOURS = (1, 3)


def as_channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an array of images with its channels last.

    They are first where the second side is 1 or 3 and the last one is not, or it is shorter than both others.
    """
    if len(shape) != 4:
        return shape
    count, first, middle, last = shape
    is_first = last not in _COLOURS if first in _COLOURS or last in _COLOURS else first < min(middle, last)
    return (count, middle, last, first) if is_first else shape


def check_channels(name: str, shape: tuple[int, ...], preprocessing: Preprocessing) -> None:
    """Check that an array of images, (n, height, width[, channels]), has the channels that are asked for.

    Raises
    ------
    ParameterError
        If it has not.
    """
    channels, asked = (shape[3] if len(shape) == 4 else 1), preprocessing.channels
    fits = channels == asked if isinstance(asked, int) else channels in _COLOURS
    if not fits:
        raise ParameterError(
            f"the images of {name} have {channels} channel{'s' * (channels > 1)}, shape {shape[1:]}; an "
            f"encoder of them takes {parameter('channels', channels)}",
            field="channels",
            value=asked,
        )


def in_units(values: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return uint16 or floats as float32, of which 0..1 is mapped to the range of the preprocessing.

    Raises
    ------
    ImageRejectedError
        If a value is not finite, or lies outside 0..1 where these become another range.
    """
    if values.dtype.kind == "u":
        return (values / np.float64(np.iinfo(values.dtype).max)).astype(np.float32)
    with np.errstate(over="ignore"):
        found: NDArray[np.float32] = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise ImageRejectedError(Status.DAMAGED, "it has values that are not finite")
    if preprocessing.value_range != (0.0, 1.0) and found.size and not 0 <= found.min() <= found.max() <= 1:
        low, high = preprocessing.value_range
        raise ImageRejectedError(
            Status.UNSUPPORTED,
            f"values of {found.min():.3g}..{found.max():.3g}, where 0..1 becomes {low:g}..{high:g}",
        )
    return found


def as_asked(values: NDArray[Any], preprocessing: Preprocessing) -> NDArray[Any]:
    """Return an image (height, width, channels) of bytes or floats, fitted and with the channels asked for.

    Raises
    ------
    ImageRejectedError
        The image is smaller than the crop.
    """
    asked = preprocessing.channels
    if asked == "grey" and values.shape[2] == 3:
        values = (values @ np.array(_GREY, np.float32))[..., None]
    if values.shape[:2] != preprocessing.shape[:2] or isinstance(preprocessing.crop, int):
        planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, 2, 0))
        values = np.stack([np.asarray(fit(plane, preprocessing)) for plane in planes], axis=2)
    if asked in ("rgb", "bgr") and values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return values[..., ::-1] if asked == "bgr" else values


def as_pictures(values: NDArray[Any], channels: Any = "rgb") -> NDArray[np.uint8]:
    """Return prepared images (n, height, width, channels) as bytes to look at, with 1 channel or RGB.

    Parameters
    ----------
    values
        The images. Of floats, 0..1 is seen; of channels that are no colours, the first three.
    channels
        What they are, as in the preprocessing.
    """
    if values.dtype != np.uint8:
        values = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    if values.shape[3] not in _COLOURS:
        values = values[..., : 3 if values.shape[3] > 3 else 1]
    return values[..., ::-1] if channels == "bgr" else values

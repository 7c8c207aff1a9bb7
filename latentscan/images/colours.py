"""From the pixels of a file, of any kind, to 8-bit grey or RGB: one rule per kind and loader.

===========================  ===========================================================================
in the file                  what becomes of it
===========================  ===========================================================================
8-bit RGB                    taken as it is; an embedded colour profile is not applied
grey                         the same value in all three channels
1 bit                        0 or 255
palette                      the colours of the palette (tf: of a BMP, its numbers as grey)
alpha, transparent colour    over white, over black, or dropped (tf: over black in a GIF)
CMYK, YCbCr                  Pillow's plain conversion to RGB
16-bit grey                  scaled by 255/65535 and rounded (12 bits in 16 stay dark; no transparency);
                             tf: the high byte; pil and keras: more than 255 is white, as Pillow converts
16-bit colour                the high byte, as Pillow reads it
animation, several pages     the first
EXIF orientation             applied or not; a tag that cannot be read counts as upright
float, 32-bit integer, Lab   rejected: no range or no conversion is known (pil, keras: as Pillow converts)
===========================  ===========================================================================

What tf.io makes of a JPEG differs by a few steps of 255: it takes a faster, less exact transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageChops

from latentscan.images.source import ImageRejectedError, Status

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from latentscan.images.preprocessing import Preprocessing

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAY_BE_TRANSPARENT = ("RGB", "L", "1", "P", "PA", "LA", "RGBA")


def as_loaded(image: ImageFile, preprocessing: Preprocessing) -> Image.Image:
    """Return a decoded image as 8-bit grey or RGB, turned and with its alpha as the preprocessing says.

    Raises
    ------
    ImageRejectedError
        There is no rule for its pixels.
    """
    eight_bit = _eight_bit(image, preprocessing)
    if preprocessing.orientation == "stored":
        return eight_bit
    method = _TRANSPOSE.get(_orientation(image))
    return eight_bit if method is None else eight_bit.transpose(method)


def _orientation(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken tag raises almost any type, and spoils no pixel
        return 1


def _eight_bit(image: ImageFile, preprocessing: Preprocessing) -> Image.Image:
    mode, loader = image.mode, preprocessing.loader
    if mode in _MAY_BE_TRANSPARENT and image.has_transparency_data:
        # tf.io draws a GIF on a black canvas
        colour = "black" if loader == "tf" and image.format == "GIF" else preprocessing.alpha
        if colour != "dropped":
            return _over(image, colour)
    if mode in ("RGB", "L"):
        return image
    image.info.pop("transparency", None)  # is dropped; Pillow warns where it is
    if loader in ("pil", "keras"):
        return _as_pillow(image)
    return _by_rule(_as_tf(image) if loader == "tf" else image)


def _by_rule(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode == "L":
        return image
    if mode in ("1", "P", "CMYK", "YCbCr", "PA", "LA", "RGBA"):
        return image.convert("L" if mode == "1" else "RGB")
    # The PPM reader scales to 16 bits but calls the mode "I", which elsewhere means 32 bits.
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    raise ImageRejectedError(Status.UNSUPPORTED, f"no rule for pixels of the kind {mode}")


def _as_tf(image: Image.Image) -> Image.Image:
    """Return those kinds of pixels as tf.io does that it treats in its own way."""
    if image.mode == "P" and image.format == "BMP":
        return Image.fromarray(np.asarray(image))
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image


def _over(image: Image.Image, colour: str) -> Image.Image:
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, colour)
    canvas.paste(layer, mask=layer)
    return canvas


def _as_pillow(image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except ValueError as error:
        reason = f"Pillow does not convert pixels of the kind {image.mode} to RGB"
        raise ImageRejectedError(Status.UNSUPPORTED, reason) from error

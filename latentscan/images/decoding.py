"""From the bytes of an image file to the pixels an encoder sees, with limits and one rule per pixel format.

The content decides the format, never the extension. The size in the header is compared with the pixel limit
before any pixel is decoded; then pixels become 8-bit, are turned upright, cropped and resized.

===========================  ===========================================================================
in the file                  what becomes of it
===========================  ===========================================================================
8-bit RGB                    taken as it is; an embedded colour profile is not applied
grey                         the same value in all three channels
1 bit                        0 or 255
palette                      the colours of the palette
alpha, transparent colour    composited over white
CMYK, YCbCr                  Pillow's plain conversion to RGB
16-bit grey                  scaled by 255/65535 and rounded (12 bits in 16 stay dark; no transparency)
16-bit colour                the high byte, as Pillow reads it
animation, several pages     the first
EXIF orientation             applied; a tag that cannot be read counts as upright
float, 32-bit integer, Lab   rejected: no range or no conversion is known
===========================  ===========================================================================
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from latentscan.files import read_regular
from latentscan.images.source import PIXEL_LIMIT, Pixels, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

    from latentscan.images.preprocessing import Preprocessing

# Image.open is passed by: it warns of bombs at a limit of its own, and silencing that is not thread-safe.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], type[ImageFile]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImageFile),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), BmpImageFile),
    (re.compile(rb"P[1-6f]\s"), PpmImageFile),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImageFile),
    (re.compile(rb"GIF8[79]a"), GifImageFile),
)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
_BYTES_PER_PIXEL = 8  # uncompressed 16-bit RGBA: no file needs more
_BYTES_OF_METADATA = 16 << 20


class ImageRejectedError(Exception):
    """One image that cannot become a row; `status` and `reason` say why."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageRejectedError], tuple[Status, str]]:
        return type(self), (self.status, self.reason)


def decode_image(
    file: Path, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> NDArray[np.uint8]:
    """Decode one file to (size, size, 3).

    Raises
    ------
    ImageRejectedError
        Whatever is wrong with the file. Only a lack of memory or an interrupt comes through as itself.
    """
    return decode_bytes(_read(file, pixel_limit), preprocessing, pixel_limit)


def decode_bytes(
    data: bytes, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> NDArray[np.uint8]:
    """Decode the content of a file to (size, size, 3).

    Raises
    ------
    ImageRejectedError
        Whatever is wrong with it. Only a lack of memory or an interrupt comes through as itself.
    """
    try:
        image = _upright(_open(data, pixel_limit))
    except (ImageRejectedError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRejectedError(Status.TOO_LARGE, "more pixels than the decoder allows") from error
    except Exception as error:  # decoders meet garbage with almost any type
        detail = " ".join(str(error).split())[:100] or type(error).__name__
        raise ImageRejectedError(Status.DAMAGED, f"cannot be decoded: {detail}") from error
    return crop_and_resize(image, preprocessing)


def crop_and_resize(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the central crop of an 8-bit grey or RGB image as (size, size, 3).

    Raises
    ------
    ImageRejectedError
        The image is smaller than the crop.
    """
    width, height = image.size
    box = None
    if preprocessing.crop != "none":
        side = min(width, height) if preprocessing.crop == "square" else preprocessing.crop
        if side > min(width, height):
            reason = f"{width} x {height} pixels are smaller than the crop of {side}"
            raise ImageRejectedError(Status.UNSUPPORTED, reason)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
    resampling = _RESAMPLING[preprocessing.resampling]
    resized = image.resize((preprocessing.size, preprocessing.size), resampling, box=box)
    return np.asarray(resized if resized.mode == "RGB" else resized.convert("RGB"))


def decode_rows(
    rows: Sequence[int], decode: Callable[[int], NDArray[np.uint8]], preprocessing: Preprocessing
) -> Pixels:
    """Call `decode` for every row; a rejected image leaves its place zero and moves no other."""
    shape = (len(rows), preprocessing.size, preprocessing.size, 3)
    pixels = Pixels(np.zeros(shape, np.uint8), np.zeros(len(rows), np.uint8))
    for position, row in enumerate(rows):
        try:
            pixels.values[position] = decode(row)
        except ImageRejectedError as rejected:
            pixels.status[position] = rejected.status
            pixels.reasons[position] = rejected.reason
    return pixels


def check_bytes(size: int, pixel_limit: int) -> None:
    """Refuse a file of more bytes than any image of `pixel_limit` pixels has.

    Raises
    ------
    ImageRejectedError
        If it has more.
    """
    if size > pixel_limit * _BYTES_PER_PIXEL + _BYTES_OF_METADATA:
        reason = f"{size:,} bytes are more than an image of {pixel_limit:,} pixels needs"
        raise ImageRejectedError(Status.TOO_LARGE, reason)


def _read(file: Path, pixel_limit: int) -> bytes:
    # Whole files: what fails here is the disk's fault, what fails later is the content's.
    try:
        return read_regular(file, lambda size: check_bytes(size, pixel_limit))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageRejectedError(Status.MISSING, "the file is not there") from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ImageRejectedError(Status.UNREADABLE, reason) from error


def _open(data: bytes, pixel_limit: int) -> ImageFile:
    if not data:
        raise ImageRejectedError(Status.EMPTY, "the file has no bytes")
    plugin = next((plugin for signature, plugin in _SIGNATURES if signature.match(data)), None)
    if plugin is None:
        reason = "no JPEG, PNG, WebP, BMP, PPM, TIFF or GIF"
        raise ImageRejectedError(Status.NOT_AN_IMAGE, reason)
    if plugin is GifImageFile:  # its constructor may allocate the canvas already
        _check_size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), pixel_limit)
    image = plugin(io.BytesIO(data))
    _check_size(*image.size, pixel_limit)
    return image


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        reason = f"{width} x {height} pixels in the header, the limit is {pixel_limit:,}"
        raise ImageRejectedError(Status.TOO_LARGE, reason)


def _upright(image: ImageFile) -> Image.Image:
    image.load()
    method = _TRANSPOSE.get(_orientation(image))
    eight_bit = _eight_bit(image)
    return eight_bit if method is None else eight_bit.transpose(method)


def _orientation(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken tag raises almost any type, and spoils no pixel
        return 1


def _eight_bit(image: ImageFile) -> Image.Image:
    mode = image.mode
    if mode in ("RGB", "L", "1", "P", "PA", "LA", "RGBA") and image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(layer, mask=layer)
        return canvas
    if mode in ("RGB", "L"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("P", "CMYK", "YCbCr"):
        return image.convert("RGB")
    # The PPM reader scales to 16 bits but calls the mode "I", which elsewhere means 32 bits.
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    raise ImageRejectedError(Status.UNSUPPORTED, f"no rule for pixels of the kind {mode}")

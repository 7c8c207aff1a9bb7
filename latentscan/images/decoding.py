"""From the bytes of an image file to the pixels an encoder sees, with limits and one rule per pixel format.

The content decides the format, never the extension. The size in the header is compared with the pixel limit
before any pixel is decoded; then pixels become 8-bit, and are turned, cropped and resized.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from latentscan.files import read_regular
from latentscan.images.colours import as_loaded
from latentscan.images.quiet import quieten_decoders
from latentscan.images.source import PIXEL_LIMIT, ImageRejectedError, Pixels, Status
from latentscan.images.structure import check_scans, check_structure

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
# major brands of AVIF, and those that say no more than that the file is an image of this family
_AVIF = re.compile(rb".{4}ftyp(?:avi[fs]|m(?:if|sf)1.{4,40}avi[fs])", re.DOTALL)
_HEIC = re.compile(rb".{4}ftyp(?:hei[cxms]|hev[cxms]|m(?:if|sf)1)", re.DOTALL)
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
_BYTES_PER_PIXEL = 8  # uncompressed 16-bit RGBA: no file needs more
_BYTES_OF_METADATA = 16 << 20


def decode_image(
    file: Path, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> NDArray[np.uint8]:
    """Decode one file to (height, width, channels).

    Raises
    ------
    ImageRejectedError
        Whatever is wrong with the file. Only a lack of memory or an interrupt comes through as itself.
    """
    return decode_bytes(_read(file, pixel_limit), preprocessing, pixel_limit)


def decode_bytes(
    data: bytes, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> NDArray[np.uint8]:
    """Decode the content of a file to (height, width, channels).

    Raises
    ------
    ImageRejectedError
        Whatever is wrong with it. Only a lack of memory or an interrupt comes through as itself.
    """
    quieten_decoders()
    try:
        opened = _open(data, pixel_limit)
        opened.load()
        image = as_loaded(opened, preprocessing)
    except (ImageRejectedError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRejectedError(Status.TOO_LARGE, "more pixels than the decoder allows") from error
    except Exception as error:  # decoders meet garbage with almost any type
        detail = " ".join(str(error).split())[:100] or type(error).__name__
        raise ImageRejectedError(Status.DAMAGED, f"cannot be decoded: {detail}") from error
    return crop_and_resize(image, preprocessing)


def crop_and_resize(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return an 8-bit grey or RGB image, cropped or padded, as (height, width, channels).

    Raises
    ------
    ImageRejectedError
        The image is smaller than the crop.
    """
    height, width, channels = preprocessing.shape
    if image.mode != (mode := "L" if channels == 1 else "RGB") and mode == "L":
        image = image.convert(mode)
    fitted = fit(image, preprocessing)
    pixels = np.asarray(fitted if fitted.mode == mode else fitted.convert(mode))
    if preprocessing.channels == "bgr":
        pixels = pixels[..., ::-1]
    return pixels.reshape(height, width, channels)


def fit(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Return an image of any mode, cropped or padded, and resized.

    Raises
    ------
    ImageRejectedError
        The image is smaller than the crop.
    """
    height, width, _ = preprocessing.shape
    box = _crop_box(image.size, preprocessing)
    if preprocessing.fitted == "pad":
        held_width, held_height = box[2] - box[0], box[3] - box[1]
        scale = min(width / held_width, height / held_height)
        inner = max(1, round(held_width * scale)), max(1, round(held_height * scale))
        padded = Image.new(image.mode, (width, height))
        corner = (width - inner[0]) // 2, (height - inner[1]) // 2
        padded.paste(_resized(image, inner, box, preprocessing), corner)
        return padded
    return _resized(image, (width, height), box, preprocessing)


def _crop_box(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """Return the part of an image that is used: left, upper, right, lower."""
    (width, height), (target_height, target_width, _) = size, preprocessing.shape
    if isinstance(preprocessing.crop, int):
        if preprocessing.crop > min(size):
            reason = f"{width} x {height} pixels are smaller than the crop of {preprocessing.crop}"
            raise ImageRejectedError(Status.UNSUPPORTED, reason)
        part = preprocessing.crop, preprocessing.crop
    else:
        part = size
    if preprocessing.fitted == "crop":
        across, down = part
        part = (
            min(across, max(1, round(down * target_width / target_height))),
            min(down, max(1, round(across * target_height / target_width))),
        )
    left, upper = (width - part[0]) // 2, (height - part[1]) // 2
    return left, upper, left + part[0], upper + part[1]


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int], preprocessing: Preprocessing
) -> Image.Image:
    if preprocessing.resampling == "bilinear-aliased":
        return image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    return image.resize(size, _RESAMPLING[preprocessing.resampling], box=box)


def decode_rows(
    rows: Sequence[int],
    decode: Callable[[int], NDArray[Any]],
    preprocessing: Preprocessing,
    kind: type[np.uint8 | np.float32] = np.uint8,
) -> Pixels:
    """Call `decode` for every row; a rejected image leaves its place zero and moves no other."""
    shape = (len(rows), *preprocessing.shape)
    pixels = Pixels(np.zeros(shape, kind), np.zeros(len(rows), np.uint8))
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
    if plugin is None and _AVIF.match(data):
        if not features.check("avif"):
            raise ImageRejectedError(Status.UNSUPPORTED, "AVIF, which the Pillow here was built without")
        plugin = AvifImageFile
    if plugin is None:
        reason = "no JPEG, PNG, WebP, AVIF, BMP, PPM, TIFF or GIF"
        if _HEIC.match(data):
            reason = "HEIC, which cannot be read: convert it to JPEG or PNG"
        raise ImageRejectedError(Status.NOT_AN_IMAGE, reason)
    if plugin is GifImageFile:  # its constructor may allocate the canvas already
        _check_size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), pixel_limit)
    data = check_structure(data, plugin.format)
    image = plugin(io.BytesIO(data))
    _check_size(*image.size, pixel_limit)
    check_bytes(len(data), image.size[0] * image.size[1])
    check_scans(image, data)
    return image


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        reason = f"{width} x {height} pixels in the header, the limit is {pixel_limit:,}"
        raise ImageRejectedError(Status.TOO_LARGE, reason)

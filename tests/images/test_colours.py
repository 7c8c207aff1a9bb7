"""Pixels as other libraries load them, compared with those libraries, pixel for pixel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from latentscan.images.decoding import decode_bytes
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import ImageRejectedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")  # their own

RNG = np.random.default_rng(0)
SIDE = 16
RGB = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
SMOOTH = Image.fromarray(RGB[:5, :5]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def palette() -> Image.Image:
    image = Image.fromarray(GREY % 4, "P")
    image.putpalette([10, 20, 30, 200, 100, 0, 0, 255, 0, 1, 2, 3])
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


COLOURS = Image.fromarray(RGB)
TRANSPARENT = Image.fromarray(np.dstack([RGB, ALPHA]))
FILES = {
    "RGB PNG": encoded(COLOURS, "PNG"),
    "turned PNG": encoded(COLOURS, "PNG", exif=TURNED),
    "RGBA PNG": encoded(TRANSPARENT, "PNG"),
    "grey PNG with alpha": encoded(Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), "PNG"),
    "grey PNG, one transparent": encoded(Image.fromarray(GREY), "PNG", transparency=77),
    "palette PNG, one transparent": encoded(palette(), "PNG", transparency=1),
    "palette PNG with alphas": encoded(palette(), "PNG", transparency=bytes([0, 128, 255, 60])),
    "1-bit PNG": encoded(Image.fromarray(GREY > 99), "PNG"),
    "16-bit PNG": encoded(Image.fromarray(DEEP), "PNG"),
    "GIF": encoded(palette(), "GIF"),
    "GIF, one transparent": encoded(palette(), "GIF", transparency=1),
    "animated GIF": encoded(palette(), "GIF", save_all=True, append_images=[palette().rotate(90)]),
    "BMP": encoded(COLOURS, "BMP"),
    "palette BMP": encoded(palette(), "BMP"),
    "WebP": encoded(COLOURS, "WEBP", lossless=True),
}
OF_PILLOW = {
    **FILES,
    "JPEG": encoded(SMOOTH, "JPEG"),
    "turned JPEG": encoded(SMOOTH, "JPEG", exif=TURNED),
    "CMYK JPEG": encoded(SMOOTH.convert("CMYK"), "JPEG"),
    "RGBA WebP": encoded(TRANSPARENT, "WEBP", lossless=True, exact=True),
    "animated WebP": encoded(COLOURS, "WEBP", lossless=True, save_all=True, append_images=[TRANSPARENT]),
    "16-bit TIFF": encoded(Image.fromarray(DEEP), "TIFF"),
    "32-bit TIFF": encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"),
    "Lab TIFF": encoded(Image.fromarray(RGB, "LAB"), "TIFF"),
    "float TIFF": encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "16-bit PGM": b"P5 16 16 65535\n" + DEEP.astype(">u2").tobytes(),
}


def loaded(data: bytes, **options: Any) -> NDArray[np.uint8]:
    return decode_bytes(data, Preprocessing.model_validate({"crop": "none", "size": SIDE, **options}))


@pytest.mark.parametrize("name", OF_PILLOW)
def test_pil_is_what_torchvision_makes_of_it(name: str) -> None:
    with Image.open(io.BytesIO(OF_PILLOW[name])) as image:  # ImageFolder's loader
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(loaded(OF_PILLOW[name], loader="pil"), expected)


@pytest.mark.parametrize("size", [SIDE, 10])
@pytest.mark.parametrize("name", OF_PILLOW)
def test_keras_is_what_load_img_makes_of_it(tmp_path: Path, name: str, size: int) -> None:
    (tmp_path / "image").write_bytes(OF_PILLOW[name])
    expected = keras.utils.img_to_array(keras.utils.load_img(tmp_path / "image", target_size=(size, size)))
    values = decode_bytes(OF_PILLOW[name], Preprocessing(loader="keras", size=size))
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("name", FILES)
def test_tf_is_what_decode_image_makes_of_it(name: str) -> None:
    expected = tf.io.decode_image(FILES[name], channels=3, expand_animations=False).numpy()
    np.testing.assert_array_equal(loaded(FILES[name], loader="tf"), expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_differs_from_tf_by_its_transform_alone(mode: str) -> None:
    data = encoded(SMOOTH.convert(mode), "JPEG", exif=TURNED)
    values = loaded(data, loader="tf")
    accurate = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_array_equal(values, accurate)
    usual = tf.io.decode_image(data, channels=3).numpy()
    assert np.abs(values.astype(int) - usual).max() <= 8


@pytest.mark.parametrize("has_marker", [True, False])
def test_a_cmyk_jpeg_is_inverted_where_tf_inverts_it(has_marker: bool) -> None:
    data = encoded(SMOOTH.convert("CMYK"), "JPEG", quality=100, subsampling=0)
    if not has_marker:  # of Adobe, which says that the inks are inverted
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    usual = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    assert np.abs(loaded(data, loader="tf").astype(int) - usual).max() <= 2


@pytest.mark.parametrize("shape", [(40, 30), (9, 12)])
def test_tf_resizes_without_antialiasing(shape: tuple[int, int]) -> None:
    values = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = tf.image.resize(values, (SIDE, SIDE)).numpy()
    given = decode_bytes(encoded(Image.fromarray(values), "PNG"), Preprocessing(loader="tf", size=SIDE))
    assert np.abs(given - expected).max() <= 1


@pytest.mark.parametrize("loader", ["latentscan", "pil", "keras", "tf"])
@pytest.mark.parametrize("name", ["RGBA PNG", "palette PNG with alphas", "grey PNG with alpha"])
def test_alpha_and_orientation_are_choices_of_their_own(loader: str, name: str) -> None:
    layer = Image.open(io.BytesIO(FILES[name])).convert("RGBA")
    for colour in ("white", "black"):
        canvas = Image.new("RGBA", layer.size, colour)
        expected = np.asarray(Image.alpha_composite(canvas, layer).convert("RGB")).astype(int)
        assert np.abs(loaded(FILES[name], loader=loader, alpha=colour) - expected).max() <= 1
    upright = np.rot90(RGB, -1)
    np.testing.assert_array_equal(loaded(FILES["turned PNG"], loader=loader, orientation="exif"), upright)
    np.testing.assert_array_equal(loaded(FILES["turned PNG"], loader=loader, orientation="stored"), RGB)


@pytest.mark.parametrize("loader", ["latentscan", "tf"])
def test_what_has_no_rule_is_rejected(loader: str) -> None:
    with pytest.raises(ImageRejectedError, match="no rule for pixels of the kind LAB"):
        loaded(OF_PILLOW["Lab TIFF"], loader=loader)

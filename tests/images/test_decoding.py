from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from latentscan.images.decoding import crop_and_resize, decode_image, decode_rows
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import ImageRejectedError, Status

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WHOLE = Preprocessing(crop="none", size=16, resampling="box")  # a 16x16 image passes unchanged
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (16, 16), dtype=np.uint8)
GREY[3, 5] = 77
ALPHA = RNG.integers(0, 256, (16, 16), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (16, 16), dtype=np.uint16)
DEEP[0, :4] = (0, 128, 129, 65535)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def decoded(folder: Path, data: bytes, preprocessing: Preprocessing = WHOLE) -> NDArray[np.uint8]:
    file = folder / "image.jpg"  # the extension is wrong for most of them, and must not matter
    file.write_bytes(data)
    return decode_image(file, preprocessing)


def rejected(file: Path, pixel_limit: int = 1 << 20) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        decode_image(file, WHOLE, pixel_limit)
    assert str(file.parent) not in caught.value.reason
    assert 0 < len(caught.value.reason) < 150
    return caught.value


def three(grey: NDArray[Any]) -> NDArray[np.uint8]:
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def over_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def palette_image() -> Image.Image:
    image = Image.fromarray(GREY % 4, "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 0, 0, 255, 0, 1, 2, 3])
    return image


PALETTE = np.array([[10, 20, 30], [200, 100, 0], [0, 255, 0], [1, 2, 3]], np.uint8)
CMYK = RNG.integers(0, 256, (16, 16, 4), dtype=np.uint8)
RGBA = np.dstack([RGB, ALPHA])
OTHER = Image.fromarray(255 - RGB)
SCALED = three(np.rint(DEEP * (255 / 65535)))

EXACT = {
    "RGB PNG": (encoded(Image.fromarray(RGB), "PNG"), RGB),
    "RGB BMP": (encoded(Image.fromarray(RGB), "BMP"), RGB),
    "RGB PPM": (encoded(Image.fromarray(RGB), "PPM"), RGB),
    "RGB TIFF": (encoded(Image.fromarray(RGB), "TIFF"), RGB),
    "RGB TIFF, compressed": (encoded(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"), RGB),
    "RGB WebP": (encoded(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
    "grey PNG": (encoded(Image.fromarray(GREY), "PNG"), three(GREY)),
    "grey PGM": (encoded(Image.fromarray(GREY), "PPM"), three(GREY)),
    "grey TIFF": (encoded(Image.fromarray(GREY), "TIFF"), three(GREY)),
    "palette PNG": (encoded(palette_image(), "PNG"), PALETTE[GREY % 4]),
    "palette GIF": (encoded(palette_image(), "GIF"), PALETTE[GREY % 4]),
    "palette BMP": (encoded(palette_image(), "BMP"), PALETTE[GREY % 4]),
    "palette, one transparent": (
        encoded(palette_image(), "PNG", transparency=1),
        np.array([[10, 20, 30], [255, 255, 255], [0, 255, 0], [1, 2, 3]], np.uint8)[GREY % 4],
    ),
    "grey, one transparent": (
        encoded(Image.fromarray(GREY), "PNG", transparency=77),
        three(np.where(GREY == 77, 255, GREY)),
    ),
    "16-bit PNG": (encoded(Image.fromarray(DEEP), "PNG"), SCALED),
    "16-bit TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), SCALED),
    "16-bit big-endian TIFF": (encoded(Image.fromarray(DEEP.astype(">u2")), "TIFF"), SCALED),
    "16-bit PGM": (b"P5 16 16 65535\n" + DEEP.astype(">u2").tobytes(), SCALED),
    "16-bit RGB PNG": (
        png(16, 16, 16, 2, b"".join(b"\0" + (row * 256.0 + 200).astype(">u2").tobytes() for row in RGB)),
        RGB,
    ),
    "1-bit PNG": (encoded(Image.fromarray(GREY > 99), "PNG"), three((GREY > 99) * 255)),
    "1-bit TIFF": (encoded(Image.fromarray(GREY > 99), "TIFF"), three((GREY > 99) * 255)),
    "1-bit PBM": (encoded(Image.fromarray(GREY > 99), "PPM"), three((GREY > 99) * 255)),
    "animated PNG": (encoded(Image.fromarray(RGB), "PNG", save_all=True, append_images=[OTHER]), RGB),
    "animated WebP": (
        encoded(Image.fromarray(RGB), "WEBP", save_all=True, append_images=[OTHER], lossless=True),
        RGB,
    ),
    "animated GIF": (
        encoded(palette_image(), "GIF", save_all=True, append_images=[palette_image().rotate(90)]),
        PALETTE[GREY % 4],
    ),
    "TIFF of two pages": (encoded(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[OTHER]), RGB),
}
NEAR = {
    "RGBA PNG": (encoded(Image.fromarray(RGBA), "PNG"), over_white(RGB, ALPHA)),
    "RGBA TIFF": (encoded(Image.fromarray(RGBA), "TIFF"), over_white(RGB, ALPHA)),
    "RGBA WebP": (encoded(Image.fromarray(RGBA), "WEBP", lossless=True, exact=True), over_white(RGB, ALPHA)),
    "grey with alpha": (
        encoded(Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), "PNG"),
        over_white(three(GREY), ALPHA),
    ),
    "palette with alphas": (
        encoded(palette_image(), "PNG", transparency=bytes([0, 128, 255, 60])),
        over_white(PALETTE, np.array([0, 128, 255, 60], np.uint8))[GREY % 4],
    ),
    "CMYK TIFF": (
        encoded(Image.fromarray(CMYK, "CMYK"), "TIFF"),
        (255.0 - CMYK[..., :3]) * (255.0 - CMYK[..., 3:]) / 255,
    ),
}


@pytest.mark.parametrize(("data", "expected"), EXACT.values(), ids=EXACT)
def test_pixels_are_exact(tmp_path: Path, data: bytes, expected: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decoded(tmp_path, data), expected)


@pytest.mark.parametrize(("data", "expected"), NEAR.values(), ids=NEAR)
def test_pixels_are_exact_but_for_rounding(tmp_path: Path, data: bytes, expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(decoded(tmp_path, data), expected, atol=1.01)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_what_pillow_makes_of_it(tmp_path: Path, mode: str) -> None:
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=90)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decoded(tmp_path, data), expected)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied(tmp_path: Path, file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    tall = Image.fromarray(np.concatenate([RGB, RGB // 2, RGB]))
    data = encoded(tall, file_format, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    square = Preprocessing(crop="square", size=16)
    np.testing.assert_array_equal(decoded(tmp_path, data, square), crop_and_resize(upright, square))


def test_a_broken_orientation_counts_as_upright(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    plain = decoded(tmp_path, encoded(image, "PNG"))
    broken = encoded(image, "PNG", exif=b"Exif\0\0no header of a TIFF at all")
    np.testing.assert_array_equal(decoded(tmp_path, broken), plain)


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        ("square", (20, 0, 120, 100)),
        ("none", (0, 0, 140, 100)),
        (60, (40, 20, 100, 80)),
        (100, (20, 0, 120, 100)),
    ],
)
def test_crop_is_central(crop: Any, box: tuple[int, int, int, int]) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (100, 140, 3), dtype=np.uint8))
    values = crop_and_resize(image, Preprocessing(crop=crop, size=20, resampling="box"))
    expected = np.asarray(image.crop(box).resize((20, 20), Image.Resampling.BOX))
    np.testing.assert_array_equal(values, expected)


STRIPES = np.repeat(np.arange(12, dtype=np.uint8) * 20, 8 * 3).reshape(12, 8, 3).transpose(1, 0, 2)  # 8 x 12


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({"size": (8, 12)}, range(12)),
        ({"size": 8}, range(2, 10)),
        ({"size": (16, 8), "resampling": "nearest"}, [4, 4, 5, 5, 6, 6, 7, 7]),
        ({"size": 12, "fit": "pad"}, range(12)),
        ({"size": (8, 24), "fit": "stretch", "resampling": "nearest"}, np.arange(24) // 2),
    ],
)
def test_images_are_fitted_to_any_shape(given: dict[str, Any], columns: Any) -> None:
    chosen = Preprocessing.model_validate(given)
    found = crop_and_resize(Image.fromarray(STRIPES), chosen)
    assert found.shape == chosen.shape
    border = (chosen.shape[0] - 8) // 2 if chosen.fit == "pad" else 0
    inner = found[border : len(found) - border]
    assert not found[:border].any()
    assert not found[len(found) - border :].any()
    np.testing.assert_array_equal(inner, np.broadcast_to(STRIPES[0, columns], inner.shape))


def test_colours_in_another_order_and_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = Image.fromarray(pixels)
    backward = crop_and_resize(image, Preprocessing(size=8, channels="bgr"))
    np.testing.assert_array_equal(backward, pixels[..., ::-1])
    grey = crop_and_resize(image, Preprocessing(size=8, channels="grey"))
    weighted = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - weighted).max() <= 1
    assert grey.shape == (8, 8, 1)
    np.testing.assert_array_equal(
        crop_and_resize(Image.fromarray(pixels[..., 0]), Preprocessing(size=8, channels="grey")),
        pixels[..., :1],
    )


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    for resampling in ("bilinear", "bicubic", "lanczos", "box"):
        options = Preprocessing.model_validate({"size": 8, "resampling": resampling})
        values = crop_and_resize(Image.fromarray(stripes), options)
        assert np.ptp(values[:, 1:-1]) < 10
        assert abs(values.mean() - 127.5) < 3


def test_an_image_smaller_than_the_crop_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageRejectedError, match="16 x 16 pixels are smaller than the crop of 17") as caught:
        decoded(tmp_path, encoded(Image.fromarray(RGB), "PNG"), Preprocessing(crop=17, size=16))
    assert caught.value.status == Status.UNSUPPORTED


HUGE_GIF = (
    b"GIF89a" + struct.pack("<HHBBB", 12_000, 10_000, 0, 0, 0)
    + b"!\xf9\4\x08\0\0\0\0"  # disposed of by filling: Pillow allocates it when it opens the file
    + b"," + struct.pack("<HHHHB", 0, 0, 12_000, 10_000, 0) + b"\2\2D\1\0;"
)  # fmt: skip
HUGE_BMP = b"BM" + bytes(8) + struct.pack("<IIiiHHIIiiII", 54, 40, 12_000, 10_000, 1, 24, 0, 0, 0, 0, 0, 0)
HUGE_WEBP = b"VP8L" + struct.pack("<IBI", 12, 0x2F, (16_383 | 9_999 << 14)) + bytes(7)
HUGE_JPEG = bytearray(encoded(Image.fromarray(GREY), "JPEG"))
HUGE_JPEG[(at := HUGE_JPEG.index(b"\xff\xc0")) + 5 : at + 9] = struct.pack(">HH", 10_000, 12_000)
HUGE_TIFF = b"II*\0" + struct.pack(
    "<IH" + "HHII" * 6 + "I", 8, 6,
    256, 4, 1, 12_000, 257, 4, 1, 10_000, 258, 3, 1, 8, 259, 3, 1, 1, 262, 3, 1, 1, 273, 4, 1, 8, 0,
)  # fmt: skip

BAD = {
    "no bytes": (b"", Status.EMPTY),
    "text": (b"this is no image\n" * 9, Status.NOT_AN_IMAGE),
    "zeros": (bytes(4096), Status.NOT_AN_IMAGE),
    "HTML": (b"<!DOCTYPE html><title>404 Not Found</title>", Status.NOT_AN_IMAGE),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Status.NOT_AN_IMAGE),
    "text that begins like a BMP": (b"BMW is a maker of motor cars in Bavaria", Status.NOT_AN_IMAGE),
    "bomb PNG": (png(100_000, 100_000, 8, 2, b""), Status.TOO_LARGE),
    "bomb PNG below Pillow's limit": (png(12_000, 10_000, 1, 0, bytes(15_010_000)), Status.TOO_LARGE),
    "bomb GIF": (HUGE_GIF, Status.TOO_LARGE),
    "bomb BMP": (HUGE_BMP, Status.TOO_LARGE),
    "bomb PPM": (b"P6 12000 10000 255\n", Status.TOO_LARGE),
    "bomb WebP": (b"RIFF" + struct.pack("<I", 4 + len(HUGE_WEBP)) + b"WEBP" + HUGE_WEBP, Status.TOO_LARGE),
    "bomb JPEG": (bytes(HUGE_JPEG), Status.TOO_LARGE),
    "bomb TIFF": (HUGE_TIFF, Status.TOO_LARGE),
    "float TIFF": (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), Status.UNSUPPORTED),
    "float PFM": (encoded(Image.fromarray(GREY.astype(np.float32)), "PPM"), Status.UNSUPPORTED),
    "32-bit TIFF": (encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF"), Status.UNSUPPORTED),
    "Lab TIFF": (encoded(Image.fromarray(RGB, "LAB"), "TIFF"), Status.UNSUPPORTED),
    "no size": (png(0, 0, 8, 2, b""), Status.DAMAGED),
}
LARGER = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
FORMATS = {
    "JPEG": encoded(LARGER, "JPEG", exif=Image.Exif()),
    "progressive JPEG": encoded(LARGER, "JPEG", progressive=True),
    "PNG": encoded(LARGER.convert("P"), "PNG", transparency=3),
    "APNG": encoded(LARGER, "PNG", save_all=True, append_images=[LARGER.rotate(90)]),
    "WEBP": encoded(LARGER, "WEBP"),
    "BMP": encoded(LARGER, "BMP"),
    "PPM": encoded(LARGER, "PPM"),
    "plain PGM": b"P2 16 16 255\n" + b" ".join(b"%d" % value for value in GREY.ravel()),
    "TIFF": encoded(LARGER, "TIFF"),
    "TIFF, JPEG inside": encoded(LARGER, "TIFF", compression="jpeg"),
    "TIFF, deflated": encoded(LARGER, "TIFF", compression="tiff_adobe_deflate"),
    "GIF": encoded(LARGER, "GIF", save_all=True, append_images=[LARGER.rotate(90)]),
}


@pytest.mark.parametrize(("data", "status"), BAD.values(), ids=BAD)
def test_bad_images_have_a_status(tmp_path: Path, data: bytes, status: Status) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(data)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        error = rejected(file, 64_000_000)
    assert (error.status, list(map(str, warned))) == (status, [])


@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS)
def test_half_an_image_is_damaged(tmp_path: Path, data: bytes) -> None:
    decoded(tmp_path, data)
    file = tmp_path / "half.jpg"
    file.write_bytes(data[: len(data) // 2] if b"acTL" not in data else data[: len(data) // 4])
    assert rejected(file).status == Status.DAMAGED


def test_the_pixel_limit_is_the_last_size_allowed(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(encoded(Image.fromarray(RGB), "PNG"))
    assert decode_image(file, WHOLE, 256).shape == (16, 16, 3)
    assert rejected(file, 255).status == Status.TOO_LARGE


def test_a_file_far_larger_than_its_pixels_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    assert rejected(file).status == Status.TOO_LARGE


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "text").write_text("")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    assert rejected(tmp_path / "folder.jpg").status == Status.UNREADABLE
    assert rejected(tmp_path / "circle.jpg").status == Status.UNREADABLE
    assert rejected(tmp_path / "vanished.jpg").status == Status.MISSING
    assert rejected(tmp_path / "dangling.jpg").status == Status.MISSING
    assert rejected(tmp_path / "text" / "inside.jpg").status == Status.MISSING


def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "secret.jpg"
    file.write_bytes(encoded(Image.fromarray(RGB), "JPEG"))
    file.chmod(0)
    try:
        file.read_bytes()
    except PermissionError:
        assert rejected(file).status == Status.UNREADABLE
    else:
        pytest.skip("this user may read everything")


@pytest.mark.parametrize("escaping", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("step", ["PIL.ImageFile.ImageFile.load", "PIL.Image.Image.getexif"])
def test_lack_of_memory_and_interrupts_come_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, escaping: type[BaseException]
) -> None:
    def escape(_: Image.Image) -> None:
        raise escaping

    monkeypatch.setattr(step, escape)
    with pytest.raises(escaping):
        decoded(tmp_path, encoded(Image.fromarray(RGB), "BMP"))


def test_a_rejected_row_moves_no_other(tmp_path: Path) -> None:
    good = three(GREY)
    contents = [encoded(Image.fromarray(good + shift), "PNG") for shift in range(4)]
    contents[1:1] = [data for data, _ in BAD.values()]
    for row, data in enumerate(contents):
        (tmp_path / str(row)).write_bytes(data)
    rows = range(len(contents) - 1, -1, -1)
    pixels = decode_rows(rows, lambda row: decode_image(tmp_path / str(row), WHOLE), WHOLE)
    assert set(pixels.reasons) == set(np.flatnonzero(pixels.status)) == set(range(3, 3 + len(BAD)))
    assert not pixels.values[3:-1].any()
    for position, shift in ((0, 3), (1, 2), (2, 1), (-1, 0)):
        np.testing.assert_array_equal(pixels.values[position], good + shift)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutilated_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(list(FORMATS.values()))))
    place = st.one_of(st.integers(0, 128), st.integers(0, len(content) - 1))
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[at] = value
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    file = tmp_path_factory.getbasetemp() / "mutilated.jpg"
    file.write_bytes(content[:end])
    try:
        sound = decode_image(file, WHOLE, 1 << 20).shape == (16, 16, 3)
    except ImageRejectedError as rejection:
        sound = rejection.status != Status.GOOD and len(rejection.reason) > 0
    assert sound

"""Arrays of images that no file could hold: other channels than colours, and more than 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.errors import ParameterError
from latentscan.images.arrays import ArraySource
from latentscan.images.channels import as_pictures
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RANDOM = np.random.default_rng(0)


def prepared(values: NDArray[Any], **asked: Any) -> NDArray[Any]:
    given: dict[str, Any] = {"size": values.shape[1:3], **asked}
    pixels = ArraySource(values, "memory", Preprocessing(**given)).read(0, len(values))
    assert not pixels.status.any()
    return pixels.values


def test_bytes_of_any_number_of_channels_stay_as_they_are() -> None:
    values = RANDOM.integers(0, 256, (4, 9, 10, 5), np.uint8)
    found = prepared(values, channels=5)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_16_bits_are_as_exact_as_float32(kind: str) -> None:
    values = RANDOM.integers(0, 65536, (3, 8, 8), np.uint16).astype(kind)
    found = prepared(values, channels="grey")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], (values / 65535).astype(np.float32))


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f8"])
def test_floats_stay_as_they_are(kind: str) -> None:
    values = (RANDOM.standard_normal((3, 8, 9, 3)) * 7).astype(kind)
    np.testing.assert_array_equal(prepared(values), values.astype(np.float32))
    np.testing.assert_array_equal(prepared(values, channels="bgr"), values[..., ::-1].astype(np.float32))


def test_channels_may_come_first() -> None:
    values = RANDOM.integers(0, 256, (2, 3, 8, 9), np.uint8)
    source = ArraySource(values, "faces.npy", Preprocessing(size=(8, 9)))
    np.testing.assert_array_equal(source.read(0, 2).values, np.moveaxis(values, 1, 3))
    assert source.notes == ("faces.npy: an array of (n, channels, height, width), (2, 3, 8, 9)",)


def test_each_channel_is_resized_as_an_image_of_its_own() -> None:
    values = RANDOM.random((1, 20, 30, 2), np.float32)
    (found,) = prepared(values, channels=2, size=8, crop=16)
    for channel in range(2):
        plane = Image.fromarray(values[0, ..., channel]).resize((8, 8), 2, box=(7, 2, 23, 18))
        np.testing.assert_array_equal(found[..., channel], np.asarray(plane))


def test_colours_of_floats_become_grey_as_those_of_files_do() -> None:
    values = RANDOM.integers(0, 256, (2, 8, 8, 3), np.uint8)
    exact = prepared(values / np.float32(255), channels="grey")
    np.testing.assert_allclose(exact * 255, prepared(values, channels="grey"), atol=1)


def test_grey_floats_have_three_equal_channels_where_colours_are_asked_for() -> None:
    values = RANDOM.random((2, 8, 8), np.float32)
    np.testing.assert_array_equal(prepared(values), np.repeat(values[..., None], 3, 3))


def test_an_image_that_is_not_finite_or_out_of_range_is_rejected_alone() -> None:
    values = RANDOM.random((3, 8, 8), np.float32)
    values[0, 0, 0], values[1, 0, 0] = np.nan, 1.5
    source = ArraySource(values, "memory", Preprocessing(size=8, value_range=(-1, 1)))
    pixels = source.read(0, 3)
    assert list(pixels.status) == [Status.DAMAGED, Status.UNSUPPORTED, Status.GOOD]
    assert "0..1 becomes -1..1" in pixels.reasons[1]


@pytest.mark.parametrize(("shape", "asked"), [((2, 8, 8, 5), "rgb"), ((2, 8, 8, 5), 4), ((2, 8, 8), 2)])
def test_other_channels_than_those_asked_for_are_refused(shape: tuple[int, ...], asked: Any) -> None:
    with pytest.raises(ParameterError, match=r"the images of memory have \d channel"):
        ArraySource(np.zeros(shape, np.uint8), "memory", Preprocessing(size=8, channels=asked))


def test_image_files_have_no_numbered_channels(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    with pytest.raises(ParameterError, match="images of other channels come as an array"):
        open_images(tmp_path, Preprocessing(size=8, channels=5))


def test_pictures_of_what_is_no_colour_show_its_first_channels() -> None:
    values = np.stack([np.full((1, 2, 2), level, np.float32) for level in (-1, 0, 0.5, 1, 9)], axis=3)
    np.testing.assert_array_equal(as_pictures(values)[0, 0, 0], [0, 0, 128])
    np.testing.assert_array_equal(as_pictures(values[..., :2])[0, 0, 0], [0])

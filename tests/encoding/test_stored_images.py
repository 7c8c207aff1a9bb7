"""The images of a store, opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from latentscan.encoding.encode import encode
from latentscan.encoding.parameters import Noise
from latentscan.encoding.sources import open_source
from latentscan.encoding.stored_images import open_images_of, pixels_of
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from latentscan.models.encoder import Encoder

SIZE = 32


def test_images_are_opened_with_the_limit_of_pixels_that_they_were_encoded_with(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latentscan.encoding.sources.PIXEL_LIMIT", 40 * 40)
    (tmp_path / "faces").mkdir()
    Image.fromarray(np.full((50, 50, 3), 7, np.uint8)).save(tmp_path / "faces/large.png")
    source = open_source(tmp_path / "faces", encoder.default_preprocessing, pixel_limit=60 * 60)
    encode(encoder, source, str(tmp_path / "z.zarr"), noise=Noise())
    store = open_store(str(tmp_path / "z.zarr"))
    again = open_images_of(store, str(tmp_path / "faces"))
    assert again.describe()["pixel_limit"] == 60 * 60
    (pixels,) = pixels_of(store, np.array([0]), np.array(["large.png"]), str(tmp_path / "faces"))
    np.testing.assert_array_equal(pixels, np.full((SIZE, SIZE, 3), 7, np.uint8))

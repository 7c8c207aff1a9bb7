"""Small pictures of one colour, where they are, and how they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec  # type: ignore[import-untyped]
from PIL import Image

from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from latentscan.images.source import ImageSource, Pixels

SMALL = Preprocessing(crop="none", size=8, resampling="box")


def paint(file: Path, colour: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, colour, colour)).save(file, "PNG")


def paint_all(folder: Path, paths: Sequence[str]) -> None:
    """Paint several pictures, whose colours are 0, 1, 2, ..."""
    for colour, path in enumerate(paths):
        paint(folder / path, colour)


def colours(pixels: Pixels) -> list[int]:
    return [int(value) for value in pixels.values[:, 0, 0, 0]]


def opened(location: Path, **options: Any) -> ImageSource:
    return open_images(location, SMALL, **options)


def upload(folder: Path, url: str) -> str:
    """Copy a folder to a URL, and return the URL."""
    files = fsspec.get_mapper(url)
    for file in folder.rglob("*"):
        if file.is_file():
            files[file.relative_to(folder).as_posix()] = file.read_bytes()
    return url

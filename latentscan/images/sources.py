"""One door to every kind of images that lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import UsageError
from latentscan.images.arrays import open_npy
from latentscan.images.celeba import FACES, open_celeba
from latentscan.images.folder import open_folder
from latentscan.images.listing import open_list
from latentscan.images.source import PIXEL_LIMIT

if TYPE_CHECKING:
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import ImageSource

_KINDS = "a folder of images, CelebA's folder, a .txt or .csv list of paths, or a .npy or Zarr array of uint8"


def open_images(
    location: str | Path,
    preprocessing: Preprocessing,
    *,
    root: Path | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> ImageSource:
    """Open the images at a location, of the kind that lies there; `root` is the folder of a list's paths.

    Raises
    ------
    UsageError
        Nothing is there, it holds no images, it is of no known kind, or a list is malformed.
    UnsafeInputError
        An array holds Python objects.
    """
    path = Path(location)
    suffix = path.suffix.lower()
    if path.is_file() and suffix in (".txt", ".csv"):
        return open_list(path, preprocessing, root, pixel_limit)
    if root is not None:
        msg = f"{path}: a root ({root}) goes with a .txt or .csv list only; leave it out"
        raise UsageError(msg)
    if (path / FACES).is_dir():
        return open_celeba(path, preprocessing, pixel_limit)
    if path.is_dir():
        return open_folder(path, preprocessing, pixel_limit)
    if path.is_file() and suffix == ".npy":
        return open_npy(path, preprocessing)
    found = "a file of no known kind" if path.exists() else "nothing is there"
    msg = f"{path}: {found}; expected {_KINDS}"
    raise UsageError(msg)

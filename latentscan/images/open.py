"""One door to every kind of images on a disk or at a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.errors import ParameterError
from latentscan.images.arrays import open_npy
from latentscan.images.celeba import FACES, open_celeba
from latentscan.images.folder import open_folder
from latentscan.images.path_list import open_list
from latentscan.images.source import PIXEL_LIMIT
from latentscan.paths import RemotePath, absolute, as_path

if TYPE_CHECKING:
    from latentscan.images.arrays import ArraySource
    from latentscan.images.folder import FileSource
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath

_KINDS = "a folder of images, CelebA's folder, a .txt or .csv list of paths, or a .npy or Zarr array of uint8"


def open_images(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    *,
    root: str | AnyPath | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> FileSource | ArraySource:
    """Open the images at a location, whatever kind of source it is.

    What is opened may be sent to other machines: it is opened there again, from the same location.

    Parameters
    ----------
    location
        Path, or URL such as s3://bucket/faces.
    preprocessing
        How images are cropped and resized.
    root
        The folder that a list's paths are relative to; its own if None.
    pixel_limit
        Images of more pixels are rejected.

    Raises
    ------
    UsageError
        If the location does not exist, holds no images, is of no known kind, or a list is malformed.
    UnsafeInputError
        If an array holds Python objects.
    """
    source = _open(as_path(location), preprocessing, None if root is None else as_path(root), pixel_limit)
    return source.opened_by(
        open_images,
        absolute(location),
        preprocessing=preprocessing,
        root=None if root is None else absolute(root),
        pixel_limit=pixel_limit,
    )


def _open(
    path: AnyPath, preprocessing: Preprocessing, root: AnyPath | None, pixel_limit: int
) -> FileSource | ArraySource:
    suffix = path.suffix.lower()
    if path.is_file() and suffix in (".txt", ".csv"):
        return open_list(path, preprocessing, root, pixel_limit)
    if root is not None:
        raise ParameterError(
            f"only for a .txt or .csv list, not for {path}; leave it out", field="root", value=root
        )
    if (path / FACES).is_dir():
        return open_celeba(path, preprocessing, pixel_limit)
    if path.is_dir():
        return open_folder(path, preprocessing, pixel_limit)
    if path.is_file() and suffix == ".npy":
        if isinstance(path, RemotePath):
            raise ParameterError(
                "a .npy file cannot be mapped from a URL; copy it to a disk, or use a Zarr array",
                field="images",
                value=path,
            )
        return open_npy(path, preprocessing)
    found = "is a file of no known kind" if path.exists() else "does not exist"
    raise ParameterError(f"{found}; expected {_KINDS}", field="images", value=path)

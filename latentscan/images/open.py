"""One door to every kind of images on a disk or at a URL."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscan.errors import ParameterError
from latentscan.images.array_files import holds_arrays, open_array_file
from latentscan.images.arrays import ArraySource, open_npy
from latentscan.images.celeba import FACES, open_celeba, open_celeba_zip
from latentscan.images.endings import EXTENSIONS, RULES
from latentscan.images.folder import NoImagesError, natural_key, open_folder
from latentscan.images.location import KINDS, numbered_files, without_key
from latentscan.images.parquet import open_parquet
from latentscan.images.path_list import open_list
from latentscan.images.source import PIXEL_LIMIT
from latentscan.images.table_file import PARQUET
from latentscan.images.tar_archive import open_tars
from latentscan.images.zip_archive import open_zip
from latentscan.paths import RemotePath, absolute, as_path
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.images.endings import Rules
    from latentscan.images.folder import FileSource
    from latentscan.images.packed import PackedSource
    from latentscan.images.preprocessing import Preprocessing
    from latentscan.paths import AnyPath
    from latentscan.progress import Progress

_OF_SEVERAL: dict[str, Callable[..., PackedSource]] = {
    ".tar": open_tars,
    **dict.fromkeys(PARQUET, open_parquet),
}
_LISTS = (".txt", ".csv", ".tsv")
_PACKED = re.compile(r"\.(?:tar\.\w+|tgz|tbz2?|txz)$", re.IGNORECASE)
_OTHERS = {
    ".7z": "unpack it by `7z x`",
    ".rar": "unpack it by `unrar x`",
    ".tfrecord": "write its images into a folder or a .tar file",
    ".gz": "unpack it by `gunzip`",
}


def open_images(
    location: str | AnyPath,
    preprocessing: Preprocessing,
    *,
    root: str | AnyPath | None = None,
    pixel_limit: int = PIXEL_LIMIT,
    rules: Rules = RULES,
    progress: Progress = SILENT,
) -> FileSource | PackedSource | ArraySource:
    """Open the images at a location, whatever kind of source it is.

    What is opened may be sent to other machines: it is opened there again, from the same location.

    Parameters
    ----------
    location
        Path, or URL such as s3://bucket/faces. Several files are named by a range, shards-{0000..0099}.tar,
        and one array of several in a file by its name, faces.h5:images.
    preprocessing
        How images are cropped and resized.
    root
        The folder that a list's paths are relative to; its own if None.
    pixel_limit
        Images of more pixels are rejected.
    rules
        Which files of a folder are images by their names.
    progress
        Hears how far the listing of a large folder is.

    Raises
    ------
    UsageError
        If the location does not exist, holds no images, is of no known kind, or a list is malformed.
    UnsafeInputError
        If an array holds Python objects.
    """
    given: dict[str, Any] = {} if rules == RULES else {"rules": rules}
    source = _open(
        as_path(location),
        preprocessing,
        None if root is None else as_path(root),
        pixel_limit,
        rules,
        progress,
    )
    if isinstance(preprocessing.channels, int) and not isinstance(source, ArraySource):
        raise ParameterError(
            "files of images have colours, rgb, bgr or grey; images of other channels come as an array",
            field="channels",
            value=preprocessing.channels,
        )
    return source.opened_by(
        open_images,
        absolute(location),
        preprocessing=preprocessing,
        root=None if root is None else absolute(root),
        pixel_limit=pixel_limit,
        **given,
    )


def _open(
    path: AnyPath,
    preprocessing: Preprocessing,
    root: AnyPath | None,
    pixel_limit: int,
    rules: Rules,
    progress: Progress,
) -> FileSource | PackedSource | ArraySource:
    if path.is_file() and path.suffix.lower() in _LISTS:
        return open_list(path, preprocessing, root, pixel_limit)
    if root is not None:
        raise ParameterError(
            f"only for a .txt, .csv or .tsv list, not for {path}; leave it out", field="root", value=root
        )
    if (path / FACES).is_dir():
        return open_celeba(path, preprocessing, pixel_limit, rules, progress=progress)
    if isinstance(path, Path):
        packed = _open_packed(path, preprocessing, pixel_limit)
        if packed is not None:
            return packed
    if not path.is_dir():
        raise _unknown(path)
    try:
        return open_folder(path, preprocessing, pixel_limit, rules, progress=progress)
    except NoImagesError:
        for suffix, opener in _OF_SEVERAL.items():
            files = _packed_in(path, suffix)
            if files:
                return opener(files, path.absolute().name, preprocessing, pixel_limit)
        raise


def _open_packed(
    path: Path, preprocessing: Preprocessing, pixel_limit: int
) -> PackedSource | ArraySource | None:
    """Open images that are not files by themselves; None where it is a folder, or nothing that is known."""
    if path.is_dir():
        archive = path / f"{FACES}.zip"
        return open_celeba_zip(path, archive, preprocessing, pixel_limit) if archive.is_file() else None
    file, key = without_key(path)
    files, suffix = numbered_files(file), file.suffix.lower()
    for one in files:
        if not one.exists():
            raise _unknown(one)
    if holds_arrays(file):
        return open_array_file(file, key, preprocessing)
    if key and suffix in (".npy", ".tar", ".zip"):
        raise ParameterError(
            f"no part of a {suffix} file has a name; leave it out", field="images", value=path
        )
    if suffix in _OF_SEVERAL:
        given = {"key": key} if key else {}
        return _OF_SEVERAL[suffix](files, file.name, preprocessing, pixel_limit, **given)
    if suffix == ".zip":
        of_celeba = partial(open_celeba_zip, file.absolute().parent)
        return (of_celeba if file.stem == FACES else open_zip)(file, preprocessing, pixel_limit)
    return open_npy(file, preprocessing) if suffix == ".npy" else None


def _packed_in(folder: AnyPath, suffix: str) -> list[Path]:
    """Return the files of a kind in a folder and its folders, in natural order, but for hidden ones."""
    if isinstance(folder, RemotePath):
        return []
    found = (
        (file.relative_to(folder).as_posix(), file)
        for file in folder.rglob("*")
        if file.suffix.lower() == suffix
    )
    seen = sorted((natural_key(name), file) for name, file in found if not f"/{name}".count("/."))
    return [file for _, file in seen if file.is_file()]


def _unknown(path: AnyPath) -> ParameterError:
    """Return the error that a location is none of images."""
    suffix = path.suffix.lower()
    if not path.exists():
        found = "does not exist"
    elif isinstance(path, RemotePath):
        found = "cannot be read from a URL; copy it to a disk, or use a folder or a Zarr array"
    elif _PACKED.search(path.name):
        found = "a compressed .tar cannot be read at any place; unpack it, or decompress it to a .tar"
    elif suffix in EXTENSIONS:
        found = "is one image; name its folder, or a list"
    elif suffix in _OTHERS:
        found = f"a {suffix} file is not read; {_OTHERS[suffix]}"
    else:
        found = "is a file of no known kind"
    return ParameterError(f"{found}; expected {KINDS}", field="images", value=path)

"""What a location of images names: one file, several that are numbered, or one array of a file of several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError
from latentscan.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.paths import AnyPath

KINDS = (
    "a folder of images, CelebA's folder, a .txt, .csv or .tsv list of paths, a .zip or .tar archive, shards "
    "(shards-{0000..0099}.tar), Parquet files, or an array: .npy, .npz, .h5, Zarr, idx"
)
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_FILES = 100_000


def exists(location: str | AnyPath) -> bool:
    """Check whether there is anything at a location of images."""
    path = as_path(location)
    if not isinstance(path, Path):
        return path.exists()
    file, _ = without_key(path)
    return numbered_files(file)[0].exists()


def without_key(path: Path) -> tuple[Path, str]:
    """Split a location such as ``faces.h5:images`` into the file and the name of what is meant in it."""
    file = path
    while ":" in str(file) and not file.exists():
        file = Path(str(file).rpartition(":")[0])
    if file.exists() or _RANGE.search(file.name):
        return file, str(path)[len(str(file)) + 1 :]
    return path, ""


def numbered_files(path: Path) -> Sequence[Path]:
    """Return the files of a location such as ``shards-{0000..0099}.tar``, in order; itself where it is one.

    Raises
    ------
    ParameterError
        If it names too many.
    """
    ranges = _RANGE.findall(path.name)
    if not ranges or path.exists():
        return [path]
    names = [path.name]
    for first, last in ranges:
        if len(first) > 9 or len(last) > 9 or len(names) * (int(last) - int(first) + 1) > _MOST_FILES:
            raise ParameterError(f"names more than {_MOST_FILES:,} files", field="images", value=path)
        width = len(first) if first.startswith("0") else 0
        numbers = [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
        names = [_RANGE.sub(number, name, count=1) for name in names for number in numbers]
    if not names:
        raise ParameterError("names no file: the range runs downwards", field="images", value=path)
    return [path.with_name(name) for name in names]

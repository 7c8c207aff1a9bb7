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

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_FILES = 100_000
_KEY = "::"


def exists(location: str | AnyPath) -> bool:
    """Check whether there is anything at a location of images."""
    path, _ = without_key(as_path(location))
    return path.exists() or (isinstance(path, Path) and numbered_files(path)[0].exists())


def without_key(path: AnyPath) -> tuple[AnyPath, str | None]:
    """Split a location such as ``faces.h5::images`` into the file and the name of what is meant in it."""
    if isinstance(path, Path) and _KEY in path.name and not path.exists():
        file, _, key = str(path).partition(_KEY)
        return Path(file), key
    return path, None


def with_key(path: AnyPath, key: str) -> str:
    """Return the location of what is meant in a file, as messages show it."""
    return f"{path.name}{_KEY}{key}"


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

"""Model files on their way to other processes, by their content."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentscan.models.network import Loading, Network

NETWORKS_HELD = 2  # of those that were sent to this process


def sha256(path: Path) -> str:
    """Hash a file, or the names and contents of all files of a folder."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Packed:
    """A model file, or the files of a folder by their paths in it, for processes that do not see it."""

    name: str
    sha256: str
    files: Mapping[str, bytes]


def packed(path: Path, expected: str) -> Packed:
    """Read the files of a model.

    Raises
    ------
    UsageError
        If they are not those whose hash is `expected`: they were changed since.
    """
    if sha256(path) != expected:
        raise UsageError(f"{path}: the model was changed since it was loaded; repeat the command")
    if path.is_file():
        return Packed(path.name, expected, {"": path.read_bytes()})
    files = (file for file in path.rglob("*") if file.is_file())
    return Packed(
        path.name, expected, {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    )


def unpacked(model: Packed, options: Loading, opener: Callable[[Path, Loading], Network]) -> Network:
    """Open a network that was packed; one that this process has opened before is not opened again.

    Parameters
    ----------
    model
        Its files.
    options
        How it is loaded.
    opener
        Opens it from a path.
    """
    with _OPENING:
        if (model.sha256, options) not in _OPENED:
            while len(_OPENED) >= NETWORKS_HELD:
                del _OPENED[next(iter(_OPENED))]
            with tempfile.TemporaryDirectory() as folder:
                for name, content in model.files.items():
                    file = Path(folder, model.name, name)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                _OPENED[model.sha256, options] = opener(Path(folder, model.name), options)
        return _OPENED[model.sha256, options]


_OPENED: dict[tuple[str, Loading], Network] = {}
_OPENING = threading.Lock()

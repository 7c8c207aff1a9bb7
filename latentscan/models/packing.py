"""Model files on their way to other processes, by their content."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.errors import UsageError
from latentscan.models.kinds import require_saved_model
from latentscan.models.onnx_file import onnx_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentscan.models.network import Loading, Network

NETWORKS_HELD = 2  # of those that were sent to this process


def sha256(path: Path) -> str:
    """Hash a file, or the names and contents of several: those of a folder, or a file and its weights."""
    files = _files(path)
    if path.is_file() and len(files) == 1:
        return _hash(path)
    return hashlib.sha256(
        b"".join(f"{name} {_hash(file)}\n".encode() for name, file in files.items())
    ).hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(path: Path) -> dict[str, Path]:
    """Return the files of a model by their names: those of a folder, or it and those that it names."""
    if path.is_file():
        return onnx_files(path) if path.suffix.lower() == ".onnx" else {path.name: path}
    require_saved_model(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file for file in files}


@dataclass(frozen=True)
class Packed:
    """The files of a model by their paths beside it, for processes that do not see them."""

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
    folder = "" if path.is_file() else f"{path.name}/"
    files = {f"{folder}{name}": file.read_bytes() for name, file in _files(path).items()}
    return Packed(path.name, expected, files)


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
                    file = Path(folder, name)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                _OPENED[model.sha256, options] = opener(Path(folder, model.name), options)
        return _OPENED[model.sha256, options]


_OPENED: dict[tuple[str, Loading], Network] = {}
_OPENING = threading.Lock()

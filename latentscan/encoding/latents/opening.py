"""One door to the latents in a file of any kind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.arrays.hdf5 import hdf5_arrays
from latentscan.arrays.held import LATENTS, Held, chosen, held
from latentscan.arrays.mapped import npy_array, npz_arrays, safetensors_arrays
from latentscan.encoding.latents.columns import parquet_array, text_array
from latentscan.encoding.latents.torch_file import torch_arrays
from latentscan.errors import ParameterError, UsageError
from latentscan.files import open_regular
from latentscan.images.table_file import PARQUET, TEXT
from latentscan.paths import is_url
from latentscan.store.array_groups import open_arrays
from latentscan.store.image_array import is_zarr

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ".npy, .npz, .safetensors, .pt, .h5, .h5ad, .parquet, .csv, .txt, or a Zarr array or group"
_CONTAINERS: dict[str, Callable[[Path], dict[str, Held]]] = {
    ".npy": npy_array,
    ".npz": npz_arrays,
    ".safetensors": safetensors_arrays,
    **dict.fromkeys((".pt", ".pth"), torch_arrays),
    **dict.fromkeys((".h5", ".hdf5", ".h5ad", ".hdf"), hdf5_arrays),
}
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class LatentsFile:
    """Where latents are: a file or a folder, the key of the array in it, and the parameter they are for."""

    file: Path
    key: str
    field: str

    @classmethod
    def named(cls, text: str | Path, field: str) -> LatentsFile:
        """Return what a text names: a file, or a file and a key with a colon between them.

        Raises
        ------
        UsageError
            If there is no such file.
        """
        if is_url(text):
            raise ParameterError("expected latents on a disk; copy them to one", field=field, value=text)
        whole, key = str(text), ""
        file = Path(whole).expanduser()
        while not file.exists() and ":" in whole:
            whole = whole.rpartition(":")[0]
            file, key = Path(whole).expanduser(), str(text)[len(whole) + 1 :]
        if not file.exists():
            raise UsageError(f"{text} does not exist; expected {LATENTS}: {KINDS}")
        return cls(file.absolute(), key, field)

    @property
    def path(self) -> Path:
        """The file and the key, as a user names them."""
        return Path(f"{self.file}:{self.key}") if self.key else self.file

    def open(self) -> Held:
        """Return the array; a process opens it once.

        Raises
        ------
        UsageError
            If there is none, or not one that fits.
        UnsafeInputError
            If the file could run code.
        """
        found = self.file.stat()
        return _opened(self, found.st_mtime_ns, found.st_size)

    def describe(self) -> dict[str, str]:
        """Return what a store records of it: its name, the key, and the SHA-256 of its content."""
        return {
            "name": self.file.name,
            **({"key": self.key} if self.key else {}),
            "sha256": sha256_of(self.file),
        }


def sha256_of(path: Path) -> str:
    """Hash a file, or the names and the contents of all files in a folder."""
    if path.is_file():
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"\n{file.relative_to(path).as_posix()}\n{file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                digest.update(piece)
    return digest.hexdigest()


@lru_cache(maxsize=8)
def _opened(one: LatentsFile, _changed: int, _size: int) -> Held:
    file, suffix = one.file, one.file.suffix.lower()
    if file.is_dir() and is_zarr(file):
        arrays = {name: held(array) for name, array in open_arrays(str(file)).items()}
    elif suffix in PARQUET:
        return _fitting(parquet_array(file, one.key, one.field), one)
    elif suffix in TEXT:
        return _fitting(text_array(file, one.key, one.field), one)
    elif suffix in _CONTAINERS:
        arrays = _CONTAINERS[suffix](file)
    else:
        raise ParameterError(f"of no known kind; expected {KINDS}", field=one.field, value=file)
    return chosen(arrays, file, one.key, one.field)


def _fitting(array: Held, one: LatentsFile) -> Held:
    return chosen({one.key: array}, one.file, one.key, one.field)

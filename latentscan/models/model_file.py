"""Checks of a model file before Keras reads it: no number in it decides an allocation unexamined.

Keras itself refuses what claims more than 4 GiB; this is for the rest, and names what is damaged.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import h5py

from latentscan.errors import ParameterError
from latentscan.models.backend import keras
from latentscan.models.foreign import with_stand_ins

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FLOOR_BYTES = 64 * 2**20  # what may be claimed whatever the size of the file
EXPANSION = 20  # how many times its size a file may unpack to: weights hardly shrink
LONGEST_CONFIG = 64 * 2**20
MOST_FILES = 10_000
CONFIG = "config.json"
PATIENCE_S = 60
WALK = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    file.visititems(lambda name, item: dict(item.attrs) and None)
"""


class DamagedModelError(ValueError):
    """What is wrong with a model file."""


def check_model_file(path: Path, known: Mapping[str, Any], *, trust: bool) -> None:
    """Check that a model is made of regular files, whole, and claims no more than it holds.

    Parameters
    ----------
    path
        The model.
    known
        Custom objects, by name.
    trust
        Whether it may hold code.

    Raises
    ------
    ParameterError
        If it is not so.
    """
    try:
        _check(path, known, trust=trust)
    except DamagedModelError as error:
        raise ParameterError(str(error), field="model", value=path) from None
    except OSError as error:
        raise ParameterError(
            f"cannot be read: {error.strerror or 'damaged'}", field="model", value=path
        ) from None


def _check(path: Path, known: Mapping[str, Any], *, trust: bool) -> None:
    if path.is_dir():
        for number, file in enumerate(path.rglob("*")):
            if number >= MOST_FILES or not (file.is_file() or file.is_dir()):
                raise DamagedModelError(
                    f"expected a model of fewer than {MOST_FILES:,} regular files, got {file.name} in it"
                )
        return
    if not path.is_file():
        raise DamagedModelError("expected a regular file, got a device, a pipe or alike")
    if path.suffix.lower() == ".keras":
        _check_archive(path, known, trust=trust)
    else:
        check_weights(path)


def check_weights(path: Path) -> None:
    """Check that a file of weights in the format HDF5 claims no more than it holds.

    Raises
    ------
    DamagedModelError
        If it does, or is damaged, or no regular file.
    """
    if not path.is_file():
        raise DamagedModelError("expected a regular file, got a device, a pipe or alike")
    _walk_elsewhere(path)
    with path.open("rb") as stream:
        _weight_bytes(stream, path.stat().st_size, "the file")


def _walk_elsewhere(path: Path) -> None:
    """Read the structure of an HDF5 file in a process of its own: without checksums, damage can end it."""
    try:
        walked = subprocess.run(  # noqa: S603 (this interpreter, and a file as its argument)
            [sys.executable, "-c", WALK, str(path)], capture_output=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DamagedModelError(f"could not be read in {PATIENCE_S} s; it is damaged") from None
    if walked.returncode:
        said = walked.stderr.decode(errors="replace").strip().splitlines()
        raise DamagedModelError(
            "expected an HDF5 file; it is damaged, or something else "
            f"({said[-1][:200] if said and walked.returncode > 0 else 'reading it crashes'})"
        )


def _check_archive(path: Path, known: Mapping[str, Any], *, trust: bool) -> None:
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, size)
            content = {member.filename: _read(archive, member) for member in members}
    except DamagedModelError:
        raise
    except Exception as error:  # noqa: BLE001 (zipfile raises anything on hostile bytes)
        raise DamagedModelError(
            f"expected a zip archive, as Keras writes .keras files; it is damaged, or something else "
            f"({' '.join(str(error).split()) or type(error).__name__})"
        ) from None
    if CONFIG not in content:
        raise DamagedModelError(f"expected a .keras file, but there is no {CONFIG} in it")
    config = _config(content[CONFIG])
    weights = sum(
        _weight_bytes(io.BytesIO(data), len(data), name)
        for name, data in content.items()
        if name.endswith(".h5")
    )
    parameters = _parameters(*with_stand_ins(config, known, trust=trust), trust=trust)
    if 4 * parameters > max(FLOOR_BYTES, EXPANSION * (weights or size)):
        raise DamagedModelError(
            f"{CONFIG} in it describes {parameters:,} weights, but it holds {weights:,} bytes of them; "
            "it is damaged, or made to fill memory"
        )


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    largest = max(FLOOR_BYTES, EXPANSION * size)
    claimed = sum(member.file_size for member in members)
    if claimed > largest or len(members) > MOST_FILES:
        raise DamagedModelError(
            f"claims {claimed:,} bytes in {len(members):,} files, but has only {size:,}; expected at most "
            f"{largest:,}: it is damaged, or made to fill memory"
        )
    for member in members:
        if member.filename == CONFIG and member.file_size > LONGEST_CONFIG:
            raise DamagedModelError(f"{CONFIG} in it has {member.file_size:,} bytes; it is no description")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read a file of an archive to its end, where its checksum is compared."""
    try:
        return archive.read(member)
    except Exception as error:  # noqa: BLE001 (as above)
        raise DamagedModelError(
            f"{member.filename} in it is damaged ({' '.join(str(error).split()) or type(error).__name__}); "
            "restore the file from a copy"
        ) from None


def _config(data: bytes) -> dict[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedModelError(f"{CONFIG} in it is no JSON ({error}); it is damaged") from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise DamagedModelError(f"{CONFIG} in it describes no model: there is no class_name; it is damaged")
    return config


def _weight_bytes(stream: Any, size: int, name: str) -> int:
    """Return the bytes of all arrays of an HDF5 file, as their shapes claim them."""
    claimed = 0

    def add(_: str, item: Any) -> None:
        nonlocal claimed
        if isinstance(item, h5py.Dataset):
            claimed += math.prod(item.shape or ()) * item.dtype.itemsize

    try:
        with h5py.File(stream, "r") as file:
            file.visititems(add)
    except Exception as error:  # noqa: BLE001 (h5py raises anything on hostile bytes)
        raise DamagedModelError(
            f"expected weights in the format HDF5 in {name}; it is damaged, or something else "
            f"({' '.join(str(error).split())[:200]})"
        ) from None
    if claimed > max(FLOOR_BYTES, EXPANSION * size):
        raise DamagedModelError(
            f"the weights in {name} claim {claimed:,} bytes, but it has only {size:,}; it is damaged, or "
            "made to fill memory"
        )
    return claimed


def _parameters(config: dict[str, Any], objects: dict[str, Any], *, trust: bool) -> int:
    """Return how many weights a configuration describes, without making any; 0 where it cannot be read.

    Keras registers variables that it does not fill yet by thread: this one takes them with it.
    """
    found = [0]

    def count() -> None:
        try:
            with keras.StatelessScope(initialize_variables=False):
                model = keras.saving.deserialize_keras_object(
                    config, custom_objects=objects, safe_mode=not trust
                )
                found[0] = int(model.count_params())
        except Exception:  # noqa: BLE001, S110 (loading it in earnest will say what is wrong)
            pass

    thread = threading.Thread(target=count, name="count weights")
    thread.start()
    thread.join()
    return found[0]

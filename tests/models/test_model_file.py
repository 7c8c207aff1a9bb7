"""Damaged and hostile model files are refused before they cost anything, with what is wrong."""

from __future__ import annotations

import io
import os
import resource
import zipfile
from collections import Counter
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from latentscan.errors import LatentscanError, ParameterError
from latentscan.models.encoder import load_encoder
from latentscan.models.packing import sha256
from tests.models.encoders import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

DAMAGES = 12


def rewritten(
    path: Path, *, compression: int = zipfile.ZIP_STORED, **changes: Callable[[bytes], bytes]
) -> Path:
    """Write an archive with other content, and right checksums; a file is named by its beginning."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    other = path.with_name("other.keras")
    with zipfile.ZipFile(other, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, changes.get(name.partition(".")[0], bytes)(data))
    return other


def shape_bomb(_: bytes) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("layers/dense/vars/0", shape=(10**9, 10), dtype="f4", chunks=(1000, 10))
    return content.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": lambda _: bytes(200 * 2**20), "compression": zipfile.ZIP_DEFLATED}, "claims 2"),
        ({"model": shape_bomb}, "claim 40,000,000,000 bytes"),
        ({"model": lambda _: b"no weights"}, "expected weights in the format HDF5 in model.weights.h5"),
        ({"config": lambda data: data.replace(b'"units": 3', b'"units": 1000000000')}, "describes 38"),
        ({"config": lambda _: b"[" * 100_000}, "config.json in it is no JSON"),
        ({"config": lambda _: b"[1]"}, "there is no class_name"),
        ({"config": lambda data: data.replace(b"Dense", b"Dunse")}, "expected a model that Keras"),
        ({"config": lambda data: data.replace(b'"units": 3', b'"units": 4')}, "expected a model that Keras"),
    ],
)
def test_an_archive_that_lies_is_refused_at_no_cost(
    tmp_path: Path, changes: dict[str, Callable[[bytes], bytes]], said: str
) -> None:
    path = rewritten(save(tmp_path / "e.keras"), **changes)  # type: ignore[arg-type]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ParameterError) as refused:
        load_encoder(path)
    assert said in refused.value.problem
    assert (refused.value.field, refused.value.value) == ("model", path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 2**10


def test_a_wrong_byte_is_found_and_named(tmp_path: Path) -> None:
    path = save(tmp_path / "e.keras")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Functional", b"Functionel", 1))
    with pytest.raises(ParameterError, match=r"config\.json in it is damaged .*CRC"):
        load_encoder(path)


@pytest.mark.parametrize("name", ["pipe.keras", "pipe.h5"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ParameterError, match="expected a regular file"):
        load_encoder(tmp_path / name, trust=True)
    (tmp_path / "saved").mkdir()
    os.mkfifo(tmp_path / "saved" / "saved_model.pb")
    with pytest.raises(ParameterError, match=r"regular files, got saved_model\.pb"):
        load_encoder(tmp_path / "saved", trust=True)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_damaged_file_is_refused_or_gives_the_same_rows(
    tmp_path: Path, eights: NDArray[np.uint8], suffix: str
) -> None:
    path = save(tmp_path / f"e{suffix}")
    whole = path.read_bytes()
    truth = load_encoder(path, trust=True, batch_size=8)(eights)
    rng, seen = np.random.default_rng(4), Counter[str]()
    for _ in range(DAMAGES):
        content, at = bytearray(whole), int(rng.integers(len(whole)))
        if rng.random() < 0.3:
            content = content[:at]
        else:
            content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            found = load_encoder(path, trust=True, batch_size=8)(eights)
        except LatentscanError as error:
            seen[f"refused with {error.exit_code}"] += str(path) in str(error)
            continue
        seen["read"] += 1
        if suffix == ".keras":  # .h5 has no checksums
            assert [name for name in truth if not np.array_equal(found[name], truth[name])] == []
    assert seen["refused with 2"] > 0
    assert seen["refused with 2"] + seen["read"] == DAMAGES


def test_a_folder_of_anything_is_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ParameterError, match="nor a SavedModel"):
        sha256(tmp_path)

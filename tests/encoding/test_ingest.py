"""Latents that were made elsewhere; the command is tested in tests/cli/test_write_commands_ingest.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.encoding.ingest import ingest
from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.source import Status
from latentscan.progress import SilentProgress
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from pathlib import Path

IMAGES, COMPONENTS = 50, 3


@pytest.fixture
def latents(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    for name in ("mu", "logvar", "z"):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((IMAGES, COMPONENTS)))
    return {name: tmp_path / f"{name}.npy" for name in ("z", "mu", "logvar")}


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_every_row_is_that_of_its_file(latents: dict[str, Path], tmp_path: Path) -> None:
    summary = ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7)
    assert (summary.images, summary.written, dict(summary.rejected)) == (IMAGES, IMAGES, {})
    store = open_store(str(tmp_path / "z.zarr"))
    assert store.schema.latents == ("mu", "logvar", "z")
    for name, file in latents.items():
        np.testing.assert_array_equal(store.array(name)[:], np.load(file).astype(np.float32))
    assert np.asarray(store.array("path")[:]).tolist() == [str(row) for row in range(IMAGES)]


def test_a_row_that_is_not_finite_is_rejected(latents: dict[str, Path], tmp_path: Path) -> None:
    z = np.load(latents["z"])
    z[3, 1], z[20, 0], z[21, 0] = np.nan, np.inf, 1e300  # the last is too large for float32
    np.save(latents["z"], z)
    summary = ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7)
    assert dict(summary.rejected) == {Status.NOT_FINITE: 3}
    mu = np.asarray(open_store(str(tmp_path / "z.zarr")).mu[:])
    assert np.flatnonzero(np.isnan(mu).all(axis=1)).tolist() == [3, 20, 21]


def test_what_is_missing_is_written_and_nothing_else(latents: dict[str, Path], tmp_path: Path) -> None:
    store = tmp_path / "z.zarr"
    ingest(latents, str(store), chunk_rows=7, executor=ThreadedExecutor(1))
    whole = files(store)
    retract_blocks(str(store), [2])
    before = (store / "z" / "c" / "1" / "0").stat().st_mtime_ns
    assert ingest(latents, str(store), chunk_rows=7).written == 7
    assert files(store) == whole
    assert (store / "z" / "c" / "1" / "0").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.zeros((5, 2), complex), np.zeros((0, 2)), np.zeros((5, 2), bool)]
)
def test_an_array_that_holds_no_latents_is_an_error_of_its_parameter(
    latents: dict[str, Path], tmp_path: Path, values: Any
) -> None:
    np.save(latents["mu"], values)
    with pytest.raises(ParameterError) as refused:
        ingest(latents, str(tmp_path / "z.zarr"))
    assert (refused.value.field, refused.value.value) == ("mu", latents["mu"])
    assert not (tmp_path / "z.zarr").exists()


def test_latents_of_other_images_are_refused(latents: dict[str, Path], tmp_path: Path) -> None:
    np.save(latents["mu"], np.zeros((IMAGES + 1, COMPONENTS)))
    with pytest.raises(UsageError):
        ingest(latents, str(tmp_path / "z.zarr"))
    assert not (tmp_path / "z.zarr").exists()


def test_pickled_objects_are_refused(latents: dict[str, Path], tmp_path: Path) -> None:
    np.save(latents["z"], np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeInputError):
        ingest(latents, str(tmp_path / "z.zarr"))
    assert not (tmp_path / "z.zarr").exists()


def npy(header: bytes, content: bytes = bytes(64), version: bytes = b"\x01\x00") -> bytes:
    length = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + length + header + content


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n"
HOSTILE = {
    "nothing": b"",
    "half a magic": b"\x93NUM",
    "an unknown version": npy(HEADER % b"(4, 4)", version=b"\x09\x00"),
    "a header that is not closed": npy((HEADER % b"(4, 4)").replace(b"}", b"(")),
    "brackets without end": npy(b"[" * 9000),
    "a header that is too long": npy(HEADER % b"(4, 4)", version=b"\x02\x00")[:8] + b"\xff" * 4,
    "rows without end": npy(HEADER % b"(99999999999999999999999, 4)"),
    "columns without end": npy(HEADER % b"(4, 99999999999999999999999)"),
    "fewer bytes than it says": npy(HEADER % b"(4, 5)"),
    "more bytes than it says": npy(HEADER % b"(4, 3)"),
    "negative rows": npy(HEADER % b"(-4, -4)"),
    "a type that is none": npy((HEADER % b"(4, 4)").replace(b"<f4", b"<q9")),
    "a type without bytes": npy((HEADER % b"(4, 4)").replace(b"<f4", b"|V0")),
    "bytes of no text": npy(b"\xff\xfe\x00" * 20),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_file_is_named_and_nothing_is_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.npy: "):
        ingest({"z": tmp_path / "bad.npy"}, str(tmp_path / "z.zarr"))
    assert not (tmp_path / "z.zarr").exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "z.npy"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(UsageError, match=r"z\.npy: "):
        ingest({"z": file}, str(tmp_path / "z.zarr"))


def test_columns_may_follow_one_another_in_the_file(latents: dict[str, Path], tmp_path: Path) -> None:
    z = np.load(latents["z"])
    np.save(tmp_path / "fortran.npy", np.asfortranarray(z))
    ingest({"z": tmp_path / "fortran.npy"}, str(tmp_path / "z.zarr"), chunk_rows=7)
    found = np.asarray(open_store(str(tmp_path / "z.zarr")).z[:])
    np.testing.assert_array_equal(found, z.astype(np.float32))


def test_a_chunk_takes_no_more_than_the_images_need(latents: dict[str, Path], tmp_path: Path) -> None:
    ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=5_000_000)
    assert (
        sum(path.stat().st_size for path in (tmp_path / "z.zarr").rglob("c/**/*") if path.is_file()) < 10_000
    )
    assert ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=5_000_000).written == 0
    with pytest.raises(ParameterError) as refused:
        ingest(latents, str(tmp_path / "new.zarr"), chunk_rows=10**20)
    assert refused.value.field == "chunk_rows"
    assert not (tmp_path / "new.zarr").exists()


def test_what_a_killed_run_left_is_gone_at_the_end(latents: dict[str, Path], tmp_path: Path) -> None:
    store = tmp_path / "z.zarr"
    ingest(latents, str(store), chunk_rows=7)
    whole = files(store)
    retract_blocks(str(store), [2])
    for left in ("z/c/2/0.0123.partial", "mu/zarr.0123.partial", "zarr.0123.partial"):
        (store / left).write_bytes(b"half")
    ingest(latents, str(store), chunk_rows=7)
    assert files(store) == whole


class Lines(SilentProgress):
    """Hears what is worth a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)


TABLE = "path,flag,age,weight,kind\n" + "".join(
    f"faces/{row}.png,{row % 2},{row + 20 if row else ''},{row / 4},{'ab'[row % 2]}\n" for row in range(48)
)


def test_rows_have_paths_and_attributes(latents: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "paths.txt").write_text("".join(f"{row}.png\n" for row in range(IMAGES)[::-1]))
    (tmp_path / "labels.csv").write_text(TABLE)
    heard = Lines()
    tables: Any = {"paths": f"{tmp_path}/paths.txt", "attributes": f"{tmp_path}/labels.csv"}
    ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7, progress=heard, **tables)
    store = open_store(str(tmp_path / "z.zarr"))
    assert np.asarray(store.path[:]).tolist() == [f"{row}.png" for row in range(IMAGES)[::-1]]
    rows = list(range(48))[::-1]
    assert store.read_attribute("flag").tolist() == [0, 0, *(1 if row % 2 else -1 for row in rows)]
    assert store.read_attribute("age").tolist()[2:] == [row + 20 if row else -(2**63) for row in rows]
    np.testing.assert_array_equal(
        store.read_attribute("weight"), [np.nan, np.nan, *(row / 4 for row in rows)]
    )
    assert store.read_attribute("kind").tolist() == ["", "", *("ab"[row % 2] for row in rows)]
    assert store.categories("kind") == ("a", "b")
    (line,) = heard.lines
    assert "column 'path': joined by path; 2 images have no row: missing values" in line
    assert "1 binary, 1 integer, 1 float, 1 categorical" in line
    assert ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7, **tables).written == 0
    (tmp_path / "labels.csv").write_text(TABLE.replace("0.25", "0.75"))
    with pytest.raises(UsageError, match=r"was begun with source\.attributes_sha256"):
        ingest(latents, str(tmp_path / "z.zarr"), chunk_rows=7, **tables)


def test_attributes_follow_the_rows_where_there_are_no_paths(
    latents: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("digit\n" + "".join(f"{row % 10}\n" for row in range(IMAGES)))
    ingest(latents, str(tmp_path / "z.zarr"), attributes=f"{tmp_path}/labels.csv")
    store = open_store(str(tmp_path / "z.zarr"))
    assert store.read_attribute("digit").tolist() == [row % 10 for row in range(IMAGES)]
    (tmp_path / "labels.csv").write_text("digit\n5\n6\n")
    with pytest.raises(UsageError, match="2 rows, but 50 images"):
        ingest(latents, str(tmp_path / "y.zarr"), attributes=f"{tmp_path}/labels.csv")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a.png"], "1 paths, but 50 rows of latents"),
        (
            ["a.png", *(f"{row % 48}.png" for row in range(49))],
            "1 paths are there more than once, such as 0.png",
        ),
        (["../a.png", *(f"{row}.png" for row in range(49))], "line 1: '../a.png' is no path below the root"),
    ],
)
def test_paths_are_one_a_row(
    latents: dict[str, Path], tmp_path: Path, paths: list[str], message: str
) -> None:
    (tmp_path / "paths.txt").write_text("\n".join(paths))
    with pytest.raises(UsageError) as refused:
        ingest(latents, str(tmp_path / "z.zarr"), paths=f"{tmp_path}/paths.txt")
    assert message in str(refused.value)
    assert "paths.txt" in str(refused.value)
    with pytest.raises(ParameterError, match="does not exist"):
        ingest(latents, str(tmp_path / "z.zarr"), paths=f"{tmp_path}/absent.txt")


def test_what_float32_does_not_hold_is_said(tmp_path: Path) -> None:
    z = np.ones((20, 2))
    z[3, 0], z[9, 1] = 1e300, 1e-300
    np.save(tmp_path / "z.npy", z)
    heard = Lines()
    ingest({"z": tmp_path / "z.npy"}, str(tmp_path / "z.zarr"), chunk_rows=6, progress=heard)
    assert heard.lines == [
        "numbers that float32 does not hold: 1 too large, whose rows are rejected; "
        "1 too small, which become 0"
    ]

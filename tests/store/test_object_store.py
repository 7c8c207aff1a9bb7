from __future__ import annotations

import hashlib
import pickle
import socket
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import fsspec  # type: ignore[import-untyped]
import numpy as np
import pytest
import xarray as xr

from latentscan.encoding.ingest import ingest
from latentscan.errors import LatentscanError, StoreError, UsageError
from latentscan.scan.check import check_store, repair_store
from latentscan.store.chunks import ChunkError
from latentscan.store.integrity import check_block
from latentscan.store.object_store import RemoteStore
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block
from tests.builders import block_values, build_store, random_latents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zarr.core.buffer import Buffer

    from latentscan.store.reader import LatentStore

SCHEMA = Schema(10, 3, ("mu", "logvar", "z"), chunk_rows=4, labels=("Male", "Young"), split=True)
LATENTS = random_latents(10, 3, SCHEMA.latents, seed=0)
RESULT = Result({"mean": Variable(("component",), np.arange(3.0), {"units": "nat"})}, {"images": 10})


def listed(location: str) -> list[str]:
    return [entry.path for entry in Results(location).entries() if entry.is_listed]


@pytest.fixture(params=["s3", "memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of every kind."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    return f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}"


def fill(location: str, blocks: tuple[int, ...] = (0, 1, 2)) -> LatentStore:
    return build_store(location, labels=SCHEMA.labels, split=True, blocks=blocks, resume_command="again")


def require_writable(location: str) -> None:
    Results(location).require_writable()


def contents(location: str) -> dict[str, str]:
    """The hash of every file of a store, read by fsspec alone."""
    files = fsspec.get_mapper(location, use_listings_cache=False)
    return {key: hashlib.sha256(files[key]).hexdigest() for key in files}


def test_a_store_has_the_same_bits_as_on_a_disk(place: str, tmp_path: Path) -> None:
    fill(str(tmp_path / "local.zarr"))
    store = fill(f"{place}/a b/z.zarr")
    assert contents(f"{place}/a b/z.zarr") == contents(str(tmp_path / "local.zarr"))
    digests = store.digests()
    for block in range(3):
        found = store.read_block(block, SCHEMA.names, digests[block])
        for name, values in block_values(SCHEMA, block, LATENTS).items():
            np.testing.assert_array_equal(found[name], values)
        assert check_block(store, block) == ()


def test_what_is_missing_is_written_later(place: str) -> None:
    reader = fill(f"{place}/z.zarr", blocks=(0, 2))
    assert reader.committed().tolist() == [True, False, True]
    with pytest.raises(StoreError, match=r"://\S+/z\.zarr is incomplete: 2 of 3 blocks"):
        reader.readable_digests(allow_partial=False)
    fill(f"{place}/z.zarr", blocks=(1,))
    assert reader.committed().all()
    with pytest.raises(UsageError, match="seed = 0, now it is 1"):
        create_store(f"{place}/z.zarr", SCHEMA, {"seed": 1})


@pytest.mark.parametrize("name", ["z", "digest"])
def test_damage_is_found_and_mended(place: str, name: str) -> None:
    location = f"{place}/z.zarr"
    store = fill(location)
    files, key = fsspec.get_mapper(location, use_listings_cache=False), store.chunk_key(1, name)
    content = bytearray(files[key])
    content[len(content) // 2] ^= 4
    files[key] = bytes(content)
    del files[store.chunk_key(2, "mu")], files["mu/zarr.json"]
    store = open_store(location)
    found = check_store(store)
    mu = store.chunk_key(2, "mu")
    assert {damage.file: damage.problem for damage in found.damages} == {
        key: "is damaged: its checksum differs",
        mu: "is missing",
        "mu/zarr.json": "is missing",
    }
    with pytest.raises(ChunkError, match="is missing"):
        store.read_block(2, ("mu",), store.read_digests(2))
    repair_store(location, found)
    store = fill(location, blocks=tuple(np.flatnonzero(~open_store(location).committed())))
    assert check_store(store).damages == ()


def test_results_are_saved_listed_and_removed(place: str) -> None:
    fill(f"{place}/z.zarr")
    results, elsewhere = Results(f"{place}/z.zarr"), Results(f"{place}/results.zarr")
    paths = [f"analyses/stats/{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda path: results.save(path, RESULT), paths))
    assert listed(results.location) == sorted(paths)
    longer = Result({**RESULT.variables, "more": Variable((), np.array(1))}, {})
    results.save(paths[0], longer)
    results.save(paths[0], RESULT)
    found = results.load(paths[0])
    assert found is not None
    assert found.variables.keys() == {"mean"}
    assert found["mean"].tolist() == [0, 1, 2]
    for _ in range(2):
        results.remove(paths[0])
    assert results.load(paths[0]) is None
    results.save_unlisted("analyses/tsne-state/a", RESULT)
    results.relist(paths[1])
    entries = {entry.path: entry for entry in results.entries()}
    assert entries.keys() == {*paths[1:], "analyses/tsne-state/a"}
    files = contents(f"{results.location}/{paths[1]}").values()
    assert entries[paths[1]].is_listed
    assert entries[paths[1]].is_intact
    assert entries[paths[1]].bytes > len(files)
    for one in (results, elsewhere):
        one.require_writable()
    elsewhere.save(paths[0], RESULT)
    elsewhere.require_writable()
    assert listed(elsewhere.location) == [paths[0]]
    assert not [key for key in contents(results.location) if key.endswith(".partial")]


def test_processes_that_save_results_at_once_lose_none(s3: str, tmp_path: Path) -> None:
    fill(f"{s3}/z.zarr")
    script = (
        "import sys, numpy as np\n"
        "from latentscan.store.results import *\n"
        "for number in range(3):\n"
        "    path = f'analyses/stats/{sys.argv[2]}{number}'\n"
        "    Results(sys.argv[1]).save(path, Result({'a': Variable((), np.array(1))}, {}))\n"
    )
    command = [sys.executable, "-c", script, f"{s3}/z.zarr"]
    writers = [subprocess.Popen([*command, name], cwd=tmp_path, stderr=subprocess.PIPE) for name in "ab"]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0), (b"", 0)]
    names = {path.rpartition("/")[2] for path in listed(f"{s3}/z.zarr")}
    assert names == {f"{name}{number}" for name in "ab" for number in range(3)}


def test_xarray_reads_it_without_a_warning(s3: str) -> None:
    fill(f"{s3}/z.zarr")
    Results(f"{s3}/z.zarr").save("analyses/stats/a", RESULT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(f"{s3}/z.zarr")
        result = xr.open_zarr(f"{s3}/z.zarr", group="analyses/stats/a")
        xr.open_datatree(f"{s3}/z.zarr", engine="zarr")
    np.testing.assert_array_equal(dataset["z"], LATENTS["z"])
    assert result["mean"].values.tolist() == [0, 1, 2]


def test_latents_are_brought_into_it(s3: str, tmp_path: Path) -> None:
    z = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    for _ in range(2):
        ingest({"z": tmp_path / "z.npy"}, f"{s3}/z.zarr", chunk_rows=4)
    np.testing.assert_array_equal(open_store(f"{s3}/z.zarr").z[:], z)


def test_what_is_no_store_is_left_alone(place: str) -> None:
    with pytest.raises(StoreError, match=r"/z\.zarr does not exist; .*encode.* writes one"):
        open_store(f"{place}/z.zarr")
    fsspec.get_mapper(place)["photos/1.jpg"] = b"mine"
    with pytest.raises(StoreError, match="photos is no latent store"):
        open_store(f"{place}/photos")
    for refused in (create_store, lambda location, *_: Results(location).require_writable()):
        with pytest.raises(UsageError, match=r"photos holds '1\.jpg', which does not belong there"):
            refused(f"{place}/photos", SCHEMA, {})
    with pytest.raises(UsageError, match=r"1\.jpg is a file"):
        create_store(f"{place}/photos/1.jpg", SCHEMA, {})


def test_the_empty_file_that_stands_for_a_folder_is_no_content(s3: str) -> None:
    file_system = fsspec.filesystem("s3", use_listings_cache=False)
    file_system.call_s3("put_object", Bucket=s3[5:], Key="z.zarr/", Body=b"")
    fill(f"{s3}/z.zarr")
    file_system.call_s3("put_object", Bucket=s3[5:], Key="z.zarr/analyses/stats/a/", Body=b"")
    Results(f"{s3}/z.zarr").save("analyses/stats/a", RESULT)
    assert Results(f"{s3}/z.zarr").load("analyses/stats/a") is not None


# --- a server that refuses, or is not there


class Refusing(RemoteStore):
    """A store whose server takes every key for one that others have changed."""

    refused = 0

    async def replace(self, key: str, value: Buffer, version: str | None) -> bool:
        type(self).refused += 1
        return False


def test_a_server_that_refuses_each_change_is_not_asked_for_ever(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"{place}/z.zarr"
    fill(location)
    with monkeypatch.context() as changed:
        changed.setattr(Refusing, "refused", 0)
        changed.setattr("latentscan.store.object_store.RemoteStore", Refusing)
        changed.setattr("latentscan.store.atomic.PAUSE_S", 0)
        with pytest.raises(StoreError, match=f"^{location}/zarr.json: refused 20 times, .* results"):
            Results(location).save("analyses/stats/a", RESULT)
        assert Refusing.refused == 20
    assert listed(location) == []
    Results(location).save("analyses/stats/a", RESULT)
    assert listed(location) == ["analyses/stats/a"]


@pytest.mark.parametrize(
    "use", [open_store, lambda location: create_store(location, SCHEMA, {}), require_writable]
)
def test_a_store_is_not_named_with_credentials(use: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match=r"^s3://bucket/z\.zarr: .* in the environment") as raised:
        use("s3://KEY:SEC/RET@bucket/z.zarr")
    assert "RET" not in str(raised.value)


def test_a_bucket_that_does_not_exist_is_named(s3: str) -> None:
    for use in (
        open_store,
        lambda location: create_store(location, SCHEMA, {}),
        require_writable,
    ):
        with pytest.raises(StoreError, match=r"s3://no-such-bucket/z\.zarr: .*bucket does not exist"):
            use("s3://no-such-bucket/z.zarr")


def test_a_server_that_is_not_there_is_no_damage(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, monkeypatch.context() as patience:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        patience.setattr("latentscan.store.object_store.DEADLINE_S", 0.5)
        with pytest.raises(StoreError, match=f"{s3}/z.zarr cannot be reached: it does not answer"):
            open_store(f"{s3}/z.zarr")
    with pytest.raises(StoreError, match=f"{s3}/z.zarr cannot be reached: Could not connect"):
        open_store(f"{s3}/z.zarr")


def test_nothing_installed_for_a_url_is_a_line_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is installed for hdfs"):
        open_store("hdfs://somewhere/z.zarr")
    script = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from latentscan.store.reader import open_store\n"
        "open_store('s3://bucket/z.zarr')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith('pip install "latentscan[s3]"')


def test_who_may_only_read_is_told_before_any_work(
    s3: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(f"{s3}/z.zarr")
    request.getfixturevalue("as_reader")
    store = open_store(f"{s3}/z.zarr", writable=True)
    assert store.committed().all()
    with pytest.raises(UsageError, match=r"z\.zarr is read-only; .* results"):
        require_writable(f"{s3}/z.zarr")
    with pytest.raises(StoreError, match=r"access is denied .*; check the credentials"):
        write_block(store, 0, block_values(SCHEMA, 0, LATENTS))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StoreError, match=r"access is denied .*; check the credentials"):
        open_store(f"{s3}/z.zarr")


# --- other processes


def elsewhere(pickled: bytes, expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Evaluate an expression of what was pickled, in a fresh process with another working directory."""
    (folder / "pickled").write_bytes(pickled)
    script = (
        "import pathlib, pickle\n"
        f"it = pickle.loads(pathlib.Path('pickled').read_bytes())\nprint({expression})"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_store_is_opened_again_by_another_process(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    expected = hashlib.sha256(LATENTS["z"].tobytes()).hexdigest()
    for location in (f"{s3}/z.zarr", "z.zarr"):
        pickled = pickle.dumps(fill(location))
        assert len(pickled) < 400
        script = "__import__('hashlib').sha256(it.z[:]).hexdigest(), it.group.store.read_only"
        done = elsewhere(pickled, script, tmp_path / "other")
        assert (done.stdout, done.stderr) == (f"{expected} True\n", "")
        writable = pickle.loads(pickle.dumps(open_store(location, writable=True)))  # noqa: S301
        write_block(writable, 0, block_values(SCHEMA, 0, LATENTS))
        assert pickle.loads(pickle.dumps(writable)) is writable  # noqa: S301


def errors_below(kind: type[LatentscanError]) -> list[type[LatentscanError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in errors_below(below))]


def test_errors_come_back_from_other_processes_as_they_were() -> None:
    for kind in errors_below(LatentscanError):
        if kind is not ChunkError and kind.__init__ is LatentscanError.__init__:
            copy = pickle.loads(pickle.dumps(kind("why")))  # noqa: S301
            assert (type(copy), str(copy)) == (kind, "why")

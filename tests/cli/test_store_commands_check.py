"""Damage of every kind: no command reads it as data, `check` names it, and repair makes it whole."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.commands import Command

    Contents = Callable[[Path], dict[str, bytes]]

IMAGES, CHUNK_ROWS = 150, 20


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


# Each kind of damage in blocks of its own, so that all of them can be done to one store.
DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "flipped bit": (lambda store: flip(store / "z/c/0/0", 100), ("z/c/0/0",)),
    "truncated": (lambda store: truncate(store / "mu/c/1/0"), ("mu/c/1/0",)),
    "deleted": (lambda store: (store / "logvar/c/2/0").unlink(), ("logvar/c/2/0",)),
    "swapped": (lambda store: swap(store / "z/c/3/0", store / "z/c/4/0"), ("z/c/3/0", "z/c/4/0")),
    "digest": (lambda store: flip(store / "commits/digest/c/5/0/0", 9), ("commits/digest/c/5/0/0",)),
    "status": (lambda store: flip(store / "status/c/6", 3), ("status/c/6",)),
}


def flip_digit(path: Path) -> None:
    """Make the number of images 151, which is as valid JSON as before."""
    data = path.read_bytes()
    flip(path, data.index(b"150", data.index(b'"shape"')) + 2)


METADATA: dict[str, tuple[Callable[[Path], None], str]] = {
    "group, no JSON": (lambda store: flip(store / "zarr.json", 0), "zarr.json"),
    "group, other number": (lambda store: flip_digit(store / "zarr.json"), "zarr.json"),
    "array, no JSON": (lambda store: flip(store / "z/zarr.json", 0), "z/zarr.json"),
    "array, missing": (lambda store: (store / "z/zarr.json").unlink(), "z"),
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, random = tmp_path_factory.mktemp("latents"), np.random.default_rng(4)
    given = ["--chunk-rows", str(CHUNK_ROWS)]
    for name in ("mu", "logvar", "z"):
        np.save(folder / f"{name}.npy", random.normal(size=(IMAGES, 6)).astype(np.float32))
        given += [f"--{name}", str(folder / f"{name}.npy")]
    return given


@pytest.fixture(scope="module")
def store(latentscan: Command, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "a.zarr"
    assert latentscan("ingest", *options, "--store", path).returncode == 0
    return path


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    shutil.copytree(store, tmp_path / store.name)
    return tmp_path / store.name


def test_a_whole_store_passes(latentscan: Command, store: Path, contents: Contents) -> None:
    before = contents(store)
    done = latentscan("check", "--store", store, "--repair")
    assert done.returncode == 0, done.stderr
    assert contents(store) == before


@pytest.mark.parametrize("kind", DAMAGE)
def test_stats_refuses_damage(latentscan: Command, copy: Path, kind: str) -> None:
    damage, chunks = DAMAGE[kind]
    damage(copy)
    done = latentscan("stats", "--store", copy, "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert any(chunk in done.stderr for chunk in chunks)
    assert "check" in done.stderr
    assert not (copy / "analyses").exists()


def test_check_names_all_damage_and_repair_makes_it_whole(
    latentscan: Command, store: Path, copy: Path, options: list[str], contents: Contents
) -> None:
    for damage, _ in DAMAGE.values():
        damage(copy)
    damaged = contents(copy)
    check = latentscan("check", "--store", copy)
    assert check.returncode == 4
    assert contents(copy) == damaged, "without --repair it only looks"
    named = {chunk for _, chunks in DAMAGE.values() for chunk in chunks}
    every = {name for name in contents(store) if "/c/" in name}
    assert {chunk for chunk in every if chunk in check.stdout + check.stderr} == named
    assert "--repair" in check.stderr
    latentscan("check", "--store", copy, "--repair")
    incomplete = latentscan("stats", "--store", copy)
    assert incomplete.returncode == 4
    assert "1 of 8" in incomplete.stderr, "what is damaged counts as not written"
    again = latentscan("ingest", *options, "--store", copy)
    assert again.returncode == 0, again.stderr
    assert contents(copy) == contents(store)


@pytest.mark.parametrize("kind", [kind for kind in METADATA if kind.startswith("group")])
def test_a_damaged_root_is_read_from_its_sealed_copy_and_repaired(
    latentscan: Command, store: Path, copy: Path, contents: Contents, kind: str
) -> None:
    damage, file = METADATA[kind]
    damage(copy)
    before = contents(copy)
    check = latentscan("check", "--store", copy)
    assert check.returncode == 4
    assert file in check.stdout
    found = json.loads(latentscan("stats", "--store", copy, "--json", "--results", copy / "../r").stdout)
    expected = json.loads(latentscan("stats", "--store", store, "--json", "--results", copy / "../r").stdout)
    assert {**found, "store": ""} == {**expected, "store": ""}
    assert contents(copy) == before, "only a repair writes"
    assert latentscan("check", "--store", copy, "--repair").returncode == 0
    assert contents(copy).keys() == contents(store).keys()
    assert json.loads(contents(copy)["zarr.json"]) == json.loads(contents(store)["zarr.json"])


@pytest.mark.parametrize("kind", [kind for kind in METADATA if kind.startswith("group")])
def test_a_root_that_is_damaged_with_its_copy_is_refused(
    latentscan: Command, copy: Path, contents: Contents, kind: str
) -> None:
    damage, file = METADATA[kind]
    damage(copy)
    flip(copy / "sealed_metadata/zarr.json", 0)
    before = contents(copy)
    for verb in ("stats", "check"):
        done = latentscan(verb, "--store", copy)
        assert (done.returncode, done.stdout) == (4, "")
        assert file in done.stderr
    assert contents(copy) == before


@pytest.mark.parametrize("kind", [kind for kind in METADATA if kind.startswith("array")])
def test_damaged_metadata_of_an_array_misleads_nobody_and_is_repaired(
    latentscan: Command, store: Path, copy: Path, contents: Contents, kind: str
) -> None:
    """The root holds a sealed copy of it, which everything reads."""
    damage, file = METADATA[kind]
    damage(copy)
    found = json.loads(latentscan("stats", "--store", copy, "--json").stdout)
    expected = json.loads(latentscan("stats", "--store", store, "--json", "--results", copy / "../r").stdout)
    assert {**found, "store": ""} == {**expected, "store": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "z" in xr.open_zarr(copy)
    check = latentscan("check", "--store", copy)
    assert check.returncode == 4
    assert file in check.stdout
    assert latentscan("check", "--store", copy, "--repair").returncode == 0
    assert latentscan("check", "--store", copy).returncode == 0
    kept, original = contents(copy), contents(store)
    assert json.loads(kept["z/zarr.json"]) == json.loads(original["z/zarr.json"])
    changed = {"zarr.json", "z/zarr.json"}
    assert all(kept[name] == content for name, content in original.items() if name not in changed)

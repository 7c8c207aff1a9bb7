"""Damage: bytes of a small store flipped, files cut short, removed, exchanged, or of an older version.

Silently wrong is an analysis that ends well with another result than that of the undamaged store, and a
`check` that ends well although an analysis fails, or zarr or xarray cannot read an array or reads other
values. A byte that nobody reads (in the date of a result, say) may be flipped without a word.
"""

from __future__ import annotations

import os
import shutil
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_STORE, DONE, run
from tests.reliability.small_store import (
    OTHER,
    STORE,
    analysis_names,
    analysis_words,
    build_small_stores,
    document_of,
    made_and_imported,
    prepare_small_stores,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.reliability.campaign import Bench

LATENTS = ("mu", "logvar", "z")
DATA = ("latents", "the commit record", "other arrays")
OLDER = "older"  # the folder of stores whose files are put in place of others
TURNS = 4  # each fault has one in so many of the analyses computed anew, in turn
Arrays = dict[str, Any]  # values by path


def faults(bench: Bench) -> Iterator[Fault]:
    """List the faults."""
    expected, arrays, files = made_and_imported(bench, partial(_prepare, seed=bench.seed))
    number = 0

    def fault(kind: str, file: str, detail: str, damage: Callable[[Path], None]) -> Fault:
        nonlocal number
        number += 1
        commands = _commands(file, number % TURNS)
        attempt = partial(_attempt, bench.folder, expected, arrays, damage, commands)
        return Fault(kind, f"{file} {detail}".strip(), attempt, limit_s=60)

    for file, size in files.items():
        for at in range(size):
            bit = (at * 7 + bench.seed) % 8
            yield fault(
                f"flip in {_region(file)}",
                file,
                f"byte {at} bit {bit}",
                partial(_flip, file, at, bit),
            )
        for length in sorted({0, 1, size // 2, size - 1} - {size, -1}):
            yield fault("cut short", file, f"to {length}", partial(_cut, file, length))
        yield fault("grow", file, "", partial(_grow, file))
        yield fault("remove", file, "", partial(_remove, file))
        yield fault("folder instead", file, "", partial(_obstruct, file))
        if (bench.folder / OLDER / STORE / file).exists():
            older = bench.folder / OLDER / STORE / file
            yield fault("roll back", file, "", partial(_replace, file, older))
    for one, other in _pairs(list(files)):
        yield fault("exchange", one, f"with {other}", partial(_exchange, one, other))


PART = Part(
    "damage",
    "bytes flipped, files cut, removed, exchanged, rolled back",
    faults,
    quick=24,
    full=1600,
)


def _prepare(folder: Path, seed: int) -> tuple[dict[str, Any], Arrays, dict[str, int]]:
    """Write the stores, and return the documents of analyses, the arrays, and the sizes of files.

    All that an attempt does is done once, on a store that is whole: nothing may be found.
    """
    older = folder / OLDER
    older.mkdir()
    build_small_stores(older, seed=seed + 2)  # other latents in the same shape; and the root, without results
    expected = prepare_small_stores(folder, seed=seed)
    shutil.copy(folder / OTHER / "zarr.json", older / STORE / "zarr.json")
    store = folder / STORE
    sizes = {
        file.relative_to(store).as_posix(): file.stat().st_size
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }
    arrays, work = _read_all(store), folder / "work"
    work.mkdir()
    os.chdir(work)
    found = _attempt(folder, expected, arrays, lambda _: None, _commands("z/c/0/0"), work)
    if found.verdict is not Verdict.SURVIVED:
        raise RuntimeError(f"without damage: {found}")
    return expected, arrays, sizes


def _attempt(
    pristine: Path,
    expected: dict[str, Any],
    arrays: Arrays,
    damage: Callable[[Path], None],
    commands: Sequence[Sequence[str]],
    folder: Path,
) -> Finding:
    shutil.copytree(pristine / STORE, folder / STORE)
    (folder / OTHER).symlink_to(pristine / OTHER)
    damage(folder / STORE)
    checked = run("check", "--store", STORE)
    if breach := checked.breach(DONE, BAD_STORE):
        return breach
    is_whole = checked.code == DONE
    if is_whole and (problem := _read_problem(folder / STORE, arrays)):
        return Finding(Verdict.SILENT, f"check says whole, but {problem}")
    fails = not is_whole
    for words in commands:
        said = run(*words)
        if breach := said.breach(DONE, BAD_STORE):
            return breach
        if said.code == DONE and document_of(said.out, folder) != expected[words[0]]:
            return Finding(Verdict.SILENT, f"{' '.join(words)} ends well with another result")
        if said.code != DONE and is_whole:
            return Finding(Verdict.SILENT, f"check says whole, but {words[0]} fails: {said.err.strip()}")
        fails |= said.code != DONE
    return Finding(Verdict.DETECTED if fails else Verdict.SURVIVED)


@cache
def _commands(file: str, turn: int | None = None) -> Sequence[Sequence[str]]:
    """Return the commands that damage of a file may mislead.

    Damaged results mislead their own analysis, and those that build on it. Where data is damaged, analyses
    are also computed anew, since what is cached is not read from the data: those of a turn, or all if None.
    """
    region, owner = _region(file), file.split("/")[1].partition("-")[0] if "/" in file else ""
    own = [name for name in analysis_names() if name in (owner, "compare") or not region.endswith("results")]
    anew = own if region in DATA else []
    return [analysis_words(name) for name in own] + [
        [*analysis_words(name), "--force", "--results", "anew.zarr"]
        for at, name in enumerate(anew)
        if turn is None or at % TURNS == turn
    ]


def _read_all(store: Path) -> Arrays:
    """Read every array of a store as zarr and as xarray do, each alone and by what the root says of it."""
    import xarray
    import zarr

    found: Arrays = {}
    root = zarr.open_group(store, mode="r")
    for path, node in root.members(max_depth=None):
        if isinstance(node, zarr.Array):
            found[path] = node[...]
            alone = zarr.open_array(store / path, mode="r")[...]
            if not _same(alone, found[path]):
                raise ValueError(f"{path} alone differs from {path} by the root")
    with xarray.open_zarr(store) as dataset:
        found |= {f"xarray {name}": array.to_numpy() for name, array in dataset.variables.items()}
    return found


def _read_problem(store: Path, expected: Arrays) -> str:
    try:
        found = _read_all(store)
    except Exception as error:  # noqa: BLE001 (whatever it is, check should have seen it)
        return f"zarr or xarray fails: {type(error).__name__}: {error}"
    if found.keys() != expected.keys():
        return f"zarr or xarray sees other arrays: {sorted(found.keys() ^ expected.keys())[:3]}"
    other = [path for path, values in expected.items() if not _same(found[path], values)]
    return f"zarr or xarray reads other values of {other[:3]}" if other else ""


def _same(one: Any, other: Any) -> bool:
    first, second = np.asarray(one), np.asarray(other)
    if first.dtype.kind in "OTU":
        return bool(first.tolist() == second.tolist())
    is_alike = first.dtype == second.dtype and first.shape == second.shape
    return is_alike and bool(first.tobytes() == second.tobytes())


def _region(file: str) -> str:
    """Name what a file belongs to, for damage of one kind behaves alike."""
    first = file.partition("/")[0]
    if file == "zarr.json":
        return "the root"
    if first == "analyses":
        return "metadata of results" if file.endswith("zarr.json") else "results"
    if file.endswith("zarr.json"):
        return "metadata"
    return "latents" if first in LATENTS else "the commit record" if first == "commits" else "other arrays"


def _pairs(files: list[str]) -> Iterator[tuple[str, str]]:
    """Return pairs of files that could be taken for one another: neighbours of one name."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(Path(file).name if "/c/" not in file else "chunk", []).append(file)
    for alike in by_name.values():
        yield from pairwise(alike)


def _flip(file: str, at: int, bit: int, store: Path) -> None:
    content = bytearray((store / file).read_bytes())
    content[at] ^= 1 << bit
    (store / file).write_bytes(content)


def _cut(file: str, length: int, store: Path) -> None:
    (store / file).write_bytes((store / file).read_bytes()[:length])


def _grow(file: str, store: Path) -> None:
    (store / file).write_bytes((store / file).read_bytes() + b"\0")


def _remove(file: str, store: Path) -> None:
    (store / file).unlink()


def _obstruct(file: str, store: Path) -> None:
    (store / file).unlink()
    (store / file).mkdir()


def _replace(file: str, by: Path, store: Path) -> None:
    shutil.copy(by, store / file)


def _exchange(one: str, other: str, store: Path) -> None:
    (store / one).rename(store / "exchanged")
    (store / other).rename(store / one)
    (store / "exchanged").rename(store / other)

"""A small store with all kinds of arrays and a result of every analysis, and the commands that analyse it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from tests.builders import build_store
from tests.reliability.command import DONE, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.reliability.campaign import Bench

T = TypeVar("T")

STORE, OTHER = "a.zarr", "b.zarr"
IMAGES, COMPONENTS, CHUNK_ROWS = 24, 2, 8
QUICK: dict[str, Any] = {  # parameters with which an analysis of it takes a fraction of a second
    "k": "1:3",
    "seeds": 1,
    "passes": 1,
    "batch_rows": 24,
    "points": 20,
    "perplexity": 3,
    "iterations": 20,
    "sample": 20,
    "nearest": 3,
    "fewest": 4,
    "clusters": 3,
}
_DATED = re.compile(rb'("(?:created|metadata_sha256)": ?")[^"]*"')


def analysis_words(name: str, *, store: str = STORE, other: str = OTHER) -> list[str]:
    """Return the words of the command of an analysis of the small store, with quick parameters."""
    analysis = ANALYSES[name]
    of = [store, other] if analysis.inputs is SeveralStores else ["--store", store]
    quick = {field: QUICK[field] for field in analysis.parameters.model_fields if field in QUICK}
    options = [word for field, value in quick.items() for word in (_flag(field), str(value))]
    return [name, *of, *options, "--json"]


def analysis_names() -> list[str]:
    """Return the analyses that need nothing but stores."""
    return [name for name, analysis in ANALYSES.items() if analysis.inputs.needs_stores_alone()]


def build_small_stores(folder: Path, *, seed: int) -> None:
    """Write the small store and another one."""
    shape: dict[str, Any] = {"images": IMAGES, "components": COMPONENTS, "chunk_rows": CHUNK_ROWS}
    build_store(folder / STORE, **shape, labels=("smiling",), split=True, seed=seed)
    build_store(folder / OTHER, **shape, labels=("smiling",), split=True, seed=seed + 1)


def analyse_small_store(folder: Path, *words: str) -> dict[str, Any]:
    """Run every analysis in the folder of the small stores, and return the documents by name.

    Raises
    ------
    RuntimeError
        If one fails.
    """
    documents = {}
    for name in analysis_names():
        said = run(*analysis_words(name, store=str(folder / STORE), other=str(folder / OTHER)), *words)
        if said.code != DONE:
            raise RuntimeError(f"{name}: {said.err}")
        documents[name] = document_of(said.out, folder)
    return documents


def document_of(out: str, folder: Path) -> Any:
    """Return what a command printed with ``--json``, whatever the folder of its stores."""
    return json.loads(out.replace(f"{folder}/", ""))


def prepare_small_stores(folder: Path, *, seed: int) -> dict[str, Any]:
    """Write the small stores with cached results in a folder, and return the documents by analysis."""
    build_small_stores(folder, seed=seed)
    return analyse_small_store(folder)


def import_what_is_used(bench: Bench, use: Callable[[Path], object]) -> None:
    """Import here what a function imports, so that the processes that are forked need not."""
    made_and_imported(bench, partial(_in_scratch, use))


def made_and_imported(bench: Bench, make: Callable[[Path], T]) -> T:
    """Return what a function makes in the shared folder, and import here what it imported."""
    made, names = bench.made(partial(_with_modules, make))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with suppress(Exception):  # some are part of others, and cannot be imported by their name
                importlib.import_module(name)
    return made


def _with_modules(make: Callable[[Path], T], folder: Path) -> tuple[T, list[str]]:
    known = set(sys.modules)
    made = make(folder)
    return made, [name for name in sys.modules if name not in known and not name.startswith("__")]


def _in_scratch(use: Callable[[Path], object], folder: Path) -> None:
    scratch = folder / "warm"
    scratch.mkdir()
    use(scratch)
    shutil.rmtree(scratch)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder by their relative paths, without what says when and where.

    The command that goes on with a store names its folder, and the seal hashes it.
    """
    here = str(folder).encode()
    return {
        file.relative_to(folder).as_posix(): _DATED.sub(rb'\1"', file.read_bytes()).replace(here, b"")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def difference(found: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """Say how two folders' contents differ; empty where they do not."""
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = sorted(name for name in found.keys() & expected.keys() if found[name] != expected[name])
    parts = (("missing", missing), ("left over", extra), ("another content", other))
    return "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in parts if names)


def random_points(seed: int, images: int = 60, components: int = 4) -> NDArray[np.float32]:
    """Return z-points of a standard normal distribution."""
    return np.random.default_rng(seed).standard_normal((images, components)).astype(np.float32)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"

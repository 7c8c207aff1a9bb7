"""Determinism: the same result to the bit, whatever runs it, and by how much kinds of processors differ.

Threads, worker processes, hash seeds, and the order in which numbers of clusters are named change no bit.
Other blocks change the order of sums: counts and extremes stay, moments stay to a stated tolerance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.registry import ANALYSES
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.store.reader import open_store
from tests.builders import analyse, build_store, own
from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.nursery import tail_of
from tests.reliability.small_store import OTHER, STORE, analysis_names, analysis_words, import_what_is_used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result
    from tests.reliability.campaign import Bench

IMAGES, COMPONENTS, CHUNK_ROWS = 300, 5, 32
OTHER_CHUNKS = (7, 100, 300)
PARAMETERS: dict[str, dict[str, Any]] = {
    "kmeans": {"k": (2, 5), "seeds": 2, "batch_rows": 64},
    "tsne": {"points": 120, "perplexity": 5, "iterations": 20},
    "compare": {"k": (2, 5), "seeds": 1, "batch_rows": 64, "points": 120, "perplexity": 5, "iterations": 20},
}
MOMENTS = 1e-9  # relative to the largest value: sums of float64 in another order
BY_BLOCKS = ("stats", "axes", "pca", "collapse")  # of which no sample and no batch depends on blocks
WORKERS = """profiles:
  two: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 2, threads_per_worker: 1}}
"""
PROCESSORS = {  # what makes libraries take the code of an older processor, each in its own way
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "OPENBLAS_CORETYPE": "Prescott",
    "FAISS_OPT_LEVEL": "generic",
}
PROCESS_S = 240.0
ENCODED: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    **{f"on {threads} threads": ({"TF_NUM_INTRAOP_THREADS": threads}, ()) for threads in ("1", "2", "4")},
    "in other blocks": ({}, ("--chunk-rows", "7")),
    "on worker processes": ({}, ("--cluster", "cluster.yaml", "--profile", "two")),
}
# layers so wide that libraries share the sums out among threads
WRITE_ENCODER = """
import numpy as np
from latentscan.models.backend import keras
keras.utils.set_random_seed(0)
layers, image = keras.layers, keras.Input((32, 32, 3))
maps = layers.Conv2D(16, 3, strides=2, activation="relu")(image)
parts = [layers.Dense(5)(layers.Flatten()(one)) for one in (image, maps)]
keras.Model(image, layers.Add(name="z")(parts)).save("model.keras")
np.save("images.npy", np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8))
"""


def faults(bench: Bench) -> Iterator[Fault]:
    """List each analysis under each circumstance."""
    import_what_is_used(bench, _use)
    plain = bench.made(_documents)
    for name in analysis_names():
        for threads in (1, 2, 4):
            yield _fault("threads", f"{name} on {threads}", partial(_threads, name, threads))
        for seed in ("0", "1", "4000000000"):
            variables = {"PYTHONHASHSEED": seed}
            yield _fault(
                "hash seed", f"{name} {seed}", partial(_another_process, name, plain[name], variables)
            )
        yield _fault("worker processes", name, partial(_workers, name, plain[name]))
        yield _fault("another kind of processor", name, partial(_processor, name, plain[name]))
    for name in BY_BLOCKS:
        for chunk_rows in OTHER_CHUNKS:
            yield _fault("blocks", f"{name} of {chunk_rows}", partial(_blocks, name, chunk_rows))
    for order in ("5,2", "2,5,2", "2:5:3"):
        yield _fault("order of k", order, partial(_order, order))
    for detail, (variables, words) in ENCODED.items():
        yield _fault("encode", detail, partial(_encoded, variables, words))
    yield _fault("encode", "another kind of processor", _encoded_elsewhere)


def _fault(kind: str, detail: str, attempt: Callable[[Path], Finding]) -> Fault:
    return Fault(kind, detail, attempt, limit_s=PROCESS_S)


PART = Part("determinism", "threads, processes, hash seeds, order, blocks", faults, quick=6, full=1000)


def _use(folder: Path) -> None:
    for name in analysis_names():
        work = folder / name
        work.mkdir()
        _computed(work, name)


def _stores(folder: Path, chunk_rows: int = CHUNK_ROWS) -> dict[str, LatentStore]:
    shape: dict[str, Any] = {
        "images": IMAGES,
        "components": COMPONENTS,
        "chunk_rows": chunk_rows,
        "labels": ("smiling",),
    }
    return {
        name: build_store(folder / f"{name}.zarr", **shape, seed=seed) for name, seed in (("a", 0), ("b", 1))
    }


def _computed(folder: Path, name: str, threads: int = 1, chunk_rows: int = CHUNK_ROWS) -> Result:
    folder.mkdir(exist_ok=True)
    stores = _stores(folder, chunk_rows)
    of = stores if ANALYSES[name].inputs is SeveralStores else stores["a"]
    return analyse(of, name, executor=ThreadedExecutor(threads), **PARAMETERS.get(name, {}))


def _threads(name: str, threads: int, folder: Path) -> Finding:
    return _same(_computed(folder / "one", name), _computed(folder / "other", name, threads))


def _blocks(name: str, chunk_rows: int, folder: Path) -> Finding:
    one, other = _computed(folder / "one", name), _computed(folder / "other", name, chunk_rows=chunk_rows)
    worst = _largest_differences(_values(one), _values(other))
    exact = {key: off for key, off in worst.items() if off and one[key].dtype.kind in "iub"}
    far = {key: off for key, off in worst.items() if off > MOMENTS}
    if exact or far:
        return Finding(Verdict.SILENT, f"relative differences {far | exact}")
    return Finding(Verdict.SURVIVED)


def _order(order: str, folder: Path) -> Finding:
    stores = _stores(folder)
    given = {**PARAMETERS["kmeans"], "k": "2,5"}
    one = analyse(stores["a"], "kmeans", results=str(folder / "one"), **given)
    return _same(one, analyse(stores["a"], "kmeans", results=str(folder / "other"), **{**given, "k": order}))


def _documents(folder: Path) -> dict[str, Any]:
    """Return what each analysis prints in a new process: what others print is held against it."""
    _stores(folder)
    found = {name: _document(folder, name, {"PYTHONHASHSEED": "7"}) for name in analysis_names()}
    if failed := [said for said in found.values() if isinstance(said, str)]:
        raise RuntimeError(failed[0])
    return found


def _another_process(name: str, plain: Any, variables: dict[str, str], folder: Path) -> Finding:
    _stores(folder)
    return _alike(name, plain, _document(folder, name, variables))


def _workers(name: str, plain: Any, folder: Path) -> Finding:
    _stores(folder)
    (folder / "cluster.yaml").write_text(WORKERS)
    return _alike(name, plain, _document(folder, name, {}, "--cluster", "cluster.yaml", "--profile", "two"))


def _alike(name: str, plain: Any, other: Any) -> Finding:
    if isinstance(other, str):
        return Finding(Verdict.UNEXPECTED, other)
    return Finding(Verdict.SURVIVED if plain == other else Verdict.SILENT, "" if plain == other else name)


def _processor(name: str, plain: Any, folder: Path) -> Finding:
    """Compute with the code for an older processor, and note by how much numbers differ."""
    _stores(folder)
    other = _document(folder, name, PROCESSORS)
    if isinstance(other, str):
        return Finding(Verdict.UNEXPECTED, other)
    worst = _largest_differences(dict(_numbers(plain)), dict(_numbers(other)))
    key = max(worst, key=lambda one: worst[one], default="")
    largest = worst.get(key, 0.0)
    said = f"differs by {largest:.1e} of the largest value, in {key}" if largest else "the same bits"
    return Finding(Verdict.SURVIVED, note=f"{name} with code for an older processor: {said}")


def _encoded(variables: dict[str, str], words: tuple[str, ...], folder: Path) -> Finding:
    found = _encoded_twice(folder, variables, *words)
    if isinstance(found, str):
        return Finding(Verdict.UNEXPECTED, found)
    off = float(np.abs(found[1] - found[0]).max())
    return Finding(Verdict.SILENT, f"latents differ by {off:.1e}") if off else Finding(Verdict.SURVIVED)


def _encoded_elsewhere(folder: Path) -> Finding:
    found = _encoded_twice(folder, {"ONEDNN_MAX_CPU_ISA": "SSE41"})
    if isinstance(found, str):
        return Finding(Verdict.UNEXPECTED, found)
    largest = float(np.abs(found[1] - found[0]).max() / np.abs(found[0]).max())
    said = f"differs by {largest:.1e} of the largest value" if largest else "the same bits"
    return Finding(Verdict.SURVIVED, note=f"encode with code for an older processor: {said}")


def _encoded_twice(
    folder: Path, variables: dict[str, str], *words: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | str:
    """Encode in a new process, then in another under a circumstance; return both latents, or what failed."""
    (folder / "cluster.yaml").write_text(WORKERS)
    encode = (sys.executable, "-m", "latentscan", "encode", "--model=model.keras", "--images=images.npy")
    for done in (
        _done(folder, {}, sys.executable, "-c", WRITE_ENCODER),
        _done(folder, {}, *encode, "--size=32", "--store=one.zarr"),
        _done(folder, variables, *encode, "--size=32", "--store=other.zarr", *words),
    ):
        if done.returncode != 0:
            return tail_of(done.stderr)
    one, other = (np.asarray(open_store(str(folder / f"{name}.zarr")).z[:]) for name in ("one", "other"))
    return one, other


def _done(folder: Path, variables: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_S,
    )


def _document(folder: Path, name: str, variables: dict[str, str], *words: str) -> Any:
    """Run an analysis in a new process, and return the document that it prints, or what it said."""
    command = [sys.executable, "-m", "latentscan", *analysis_words(name, store=STORE, other=OTHER), "--force"]
    done = _done(folder, variables, *command, *words)
    return json.loads(done.stdout) if done.returncode == 0 else tail_of(done.stderr)


def _same(one: Result, other: Result) -> Finding:
    """Compare results to the bit."""
    if own(one) != own(other):
        return Finding(Verdict.SILENT, "attributes differ")
    differing = [
        name
        for name, variable in one.variables.items()
        if np.asarray(variable.values).tolist() != np.asarray(other[name]).tolist()
        and variable.values.tobytes() != other[name].tobytes()
    ]
    return Finding(Verdict.SILENT if differing else Verdict.SURVIVED, ", ".join(differing))


def _values(result: Result) -> dict[str, Any]:
    return {name: one.values for name, one in result.variables.items() if one.values.dtype.kind in "biuf"}


def _numbers(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return the arrays of numbers of a document by their path."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _numbers(value, f"{path}.{key}".strip("."))
    elif isinstance(document, list | int | float):
        try:
            yield path, np.asarray(document, np.float64)
        except (TypeError, ValueError):  # texts, or lists of several lengths
            return


def _largest_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Return by name the largest difference relative to the largest value; infinite where shapes differ."""
    found = {}
    for name, values in one.items():
        first, second = (np.asarray(array, np.float64) for array in (values, other[name]))
        if first.shape != second.shape:
            found[name] = np.inf
            continue
        off = np.abs(np.nan_to_num(first) - np.nan_to_num(second)).max(initial=0.0)
        found[name] = float(off / max(np.abs(np.nan_to_num(first)).max(initial=0.0), np.finfo(float).tiny))
    return found

"""Numerics: analyses of adversarial data against references in extended precision.

Silently wrong is a number farther off than its stated tolerance (see `references`); an error that refuses the
data is detected.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import LatentscanError
from tests.builders import analyse, build_store
from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.nursery import tail_of
from tests.reliability.references import (
    Quantity,
    of_axes,
    of_compare,
    of_kmeans,
    of_neighbours,
    of_pca,
    of_stats,
    wide,
)
from tests.reliability.small_store import import_what_is_used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.reliability.campaign import Bench

ROWS, COMPONENTS = 600, 4
REPEATS = 100_000
CHUNKS = (7, 128, 600)  # rows of a block
KMEANS: dict[str, Any] = {"k": (1, 2, 3), "seeds": 1, "batch_rows": 100, "array": "z"}
Points = Any  # (image, component), float64 before it is rounded to float32
Arrays = dict[str, "NDArray[np.float32]"]


def faults(bench: Bench) -> Iterator[Fault]:
    """List every analysis of every data set, with blocks of several sizes."""
    import_what_is_used(bench, _use)
    for data in DATA:
        for name in CHECKS:
            sizes = CHUNKS if name in ("stats", "axes", "pca") else CHUNKS[1:2]
            for chunk_rows in sizes:
                attempt = partial(_attempt, data, name, chunk_rows, bench.seed)
                yield Fault(name, f"{data}, blocks of {chunk_rows}", attempt, limit_s=90)


def _normal(random: np.random.Generator) -> Points:
    return random.standard_normal((ROWS, COMPONENTS))


def _rotated(random: np.random.Generator, scales: Points) -> Points:
    axes, _ = np.linalg.qr(random.standard_normal((COMPONENTS, COMPONENTS)))
    return (_normal(random) * scales) @ axes


def _with(points: Points, row: int, value: float) -> Points:
    points[row] = value
    return points


DATA: Mapping[str, Callable[[np.random.Generator], Points]] = {
    "a normal distribution": _normal,
    "an offset of 1e6": lambda random: _normal(random) + 1e6,
    "an offset of 1e4, a spread of 1e-3": lambda random: _normal(random) * 1e-3 + 1e4,
    "a spread of 1e-30": lambda random: _normal(random) * 1e-30,
    "a spread of 1e-20": lambda random: _normal(random) * 1e-20,
    "a spread of 1e18": lambda random: _normal(random) * 1e18,
    "a spread of 1e30": lambda random: _normal(random) * 1e30,
    "denormal numbers": lambda random: _normal(random) * 1e-42,
    "scales of 1 to 3e-5": lambda random: _rotated(random, np.logspace(0, -4.5, COMPONENTS)) + 5,
    "scales of 1e-12 to 1e12": lambda random: _normal(random) * np.logspace(-12, 12, COMPONENTS),
    "a constant component": lambda random: _normal(random) * [1, 0, 1, 1] + [0, 1e6, 0, 0],
    "one constant": lambda random: np.full((ROWS, COMPONENTS), 0.1),
    "one row at 1e6": lambda random: _with(_normal(random), ROWS // 2, 1e6),
    "one row at 1e15": lambda random: _with(_normal(random), ROWS // 2, 1e15),
    "two values": lambda random: random.integers(0, 2, (ROWS, COMPONENTS)) * 2.0 - 1,
    "two values far apart": lambda random: random.integers(0, 2, (ROWS, 1)) * 1e8 * np.ones(COMPONENTS),
    "repeats of three rows": lambda random: random.standard_normal((3, COMPONENTS))[np.arange(REPEATS) % 3],
}


def _stats(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    store = build_store(folder / "s.zarr", arrays=arrays, chunk_rows=chunk_rows)
    yield from of_stats(analyse(store, "stats"), arrays)


def _axes(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    store = build_store(folder / "s.zarr", arrays=arrays, chunk_rows=chunk_rows)
    yield from of_axes(analyse(store, "axes"), arrays)


def _pca(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    store = build_store(folder / "s.zarr", arrays={"z": arrays["z"]}, chunk_rows=chunk_rows)
    yield from of_pca(analyse(store, "pca", array="z"), arrays)


def _kmeans(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    store = build_store(folder / "s.zarr", arrays={"z": arrays["z"]}, chunk_rows=chunk_rows)
    yield from of_kmeans(analyse(store, "kmeans", **KMEANS), arrays)


def _compare(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    """Compare a store with one of smaller radii."""
    z = arrays["z"]
    other = z * np.float32(0.9)
    stores = {
        name: build_store(folder / f"{name}.zarr", arrays={"z": values}, chunk_rows=chunk_rows)
        for name, values in (("a", z), ("b", other))
    }
    one, two = (np.sqrt((wide(values) ** 2).sum(axis=1)) for values in (z, other))
    yield from of_compare(
        analyse(stores, "compare", array="z", sample=50, kmeans=False, tsne=False), (one, two)
    )


def _neighbours(folder: Path, arrays: Arrays, chunk_rows: int) -> Iterator[Quantity]:
    from latentscan.store.results import Results

    points = arrays["z"][:ROWS]
    store = build_store(folder / "s.zarr", arrays={"z": points}, chunk_rows=chunk_rows)
    analyse(store, "tsne", array="z", points=ROWS, perplexity=5, iterations=1)
    for entry in store.results():
        if entry.analysis == "tsne-neighbours" and (result := Results(store.location).load(entry.path)):
            yield from of_neighbours(result, points)


CHECKS: Mapping[str, Callable[[Path, Arrays, int], Iterator[Quantity]]] = {
    "stats": _stats,
    "axes": _axes,
    "pca": _pca,
    "kmeans": _kmeans,
    "compare": _compare,
    "neighbours": _neighbours,
}
PART = Part("numerics", "adversarial data against extended precision", faults, quick=18, full=10_000)


def _use(folder: Path) -> None:
    for name in CHECKS:
        work = folder / name
        work.mkdir()
        _attempt("a normal distribution", name, 128, 0, work)


def _arrays(data: str, seed: int) -> Arrays:
    """Return mu, logvar and z; mu is z and a little noise, so that deviations are small differences."""
    random = np.random.default_rng(seed)
    z = DATA[data](random)
    mu = z + random.standard_normal(z.shape) * 1e-3 * np.abs(z)
    latents = {"mu": mu, "logvar": random.uniform(-30, 10, z.shape), "z": z}
    return {name: values.astype(np.float32) for name, values in latents.items()}


def _attempt(data: str, name: str, chunk_rows: int, seed: int, folder: Path) -> Finding:
    arrays = _arrays(data, seed)
    if len(arrays["z"]) > ROWS:
        chunk_rows *= len(arrays["z"]) // ROWS
    try:
        quantities = list(CHECKS[name](folder, arrays, chunk_rows))
    except LatentscanError as error:
        return Finding(Verdict.DETECTED, tail_of(str(error)))
    wrong = [quantity for quantity in quantities if not quantity.excess <= 1]
    if not wrong:
        return Finding(Verdict.SURVIVED)
    worst = max(wrong, key=lambda quantity: quantity.excess)
    at = np.argmax(np.abs(np.asarray(worst.found, np.longdouble) - np.asarray(worst.expected, np.longdouble)))
    found, expected = (np.ravel(values)[at] for values in (worst.found, worst.expected))
    names = ", ".join(quantity.name for quantity in wrong)
    said = f"{worst.name} {found:.9g}, expected {expected:.9g}: {worst.excess:.3g} times the tolerance"
    return Finding(Verdict.SILENT, f"{said} ({names})")

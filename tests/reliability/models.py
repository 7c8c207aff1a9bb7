"""Models: mutated model files, and the options of the verbs that load TensorFlow.

A `.keras` file is an archive with a checksum of each member: a mutant that is taken must give the same
latents.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tests.reliability.campaign import GIB, Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_USAGE, DONE, SOME_REJECTED, UNSAFE, Said, run
from tests.reliability.mutations import mutated
from tests.reliability.nursery import answer_of, forked, tail_of
from tests.reliability.options import WITH_TENSORFLOW, faults_of, verbs
from tests.reliability.small_store import import_what_is_used

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.reliability.campaign import Bench

MUTANTS = 2000
SIZE = 8
MODEL, IMAGES, STORE = "model.keras", "images.npy", "s.zarr"


def faults(bench: Bench) -> Iterator[Fault]:
    """List the mutants, then the options."""
    import_what_is_used(bench, _use)
    expected = bench.made(_prepare)
    for number in range(MUTANTS):
        attempt = partial(_attempt, bench.folder, expected, f"{bench.seed} {number}")
        yield Fault(".keras file", f"mutant {number}", attempt, limit_s=60, memory_bytes=4 * GIB)
    yield from faults_of(bench, [verb for verb in verbs() if verb.path[0] in WITH_TENSORFLOW])


PART = Part("models", "mutated .keras files, options of encode and train", faults, quick=6, full=600)


def _prepare(folder: Path) -> NDArray[np.float32]:
    """Write a small encoder and images, and return the latents that belong to them."""
    answer_of(forked(partial(_write, folder)))
    encoded = folder / "encoded"
    encoded.mkdir()
    said = answer_of(forked(partial(_encode, folder, (folder / MODEL).read_bytes(), encoded)))
    if said.code != DONE:
        raise RuntimeError(f"cannot encode: {said}")
    return _latents(encoded)


def _write(folder: Path) -> None:
    from latentscan.models.backend import keras

    image = keras.Input((SIZE, SIZE, 3))
    flat = keras.layers.Flatten()(image)
    keras.Model(image, [keras.layers.Dense(3, name=name)(flat) for name in ("mu", "logvar")]).save(
        folder / MODEL
    )
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
    np.save(folder / IMAGES, pixels)


def _use(folder: Path) -> None:
    _write(folder)
    _encode(folder, (folder / MODEL).read_bytes(), folder)


def _attempt(shared: Path, expected: NDArray[np.float32], seed: str, folder: Path) -> Finding:
    said = _encode(shared, mutated((shared / MODEL).read_bytes(), seed), folder)
    if breach := said.breach(DONE, BAD_USAGE, SOME_REJECTED, UNSAFE):
        return breach
    if said.code != DONE:
        return Finding(Verdict.DETECTED, tail_of(said.err))
    is_same = np.array_equal(_latents(folder), expected, equal_nan=True)
    return Finding(Verdict.SURVIVED) if is_same else Finding(Verdict.SILENT, "taken, and gives other latents")


def _encode(shared: Path, model: bytes, folder: Path) -> Said:
    (folder / MODEL).write_bytes(model)
    if not (folder / IMAGES).exists():
        shutil.copy(shared / IMAGES, folder / IMAGES)
    files = ("--model", folder / MODEL, "--images", folder / IMAGES, "--store", folder / STORE)
    return run("encode", *files, "--size", str(SIZE), "--override-preprocessing")


def _latents(folder: Path) -> NDArray[np.float32]:
    from latentscan.store.reader import open_store

    return np.asarray(open_store(str(folder / STORE)).mu[:], np.float32)

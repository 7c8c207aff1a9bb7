"""Inputs: mutated images of every format, lists of paths, CelebA's lists, arrays, jobs and clusters.

What a mutated file says may be another thing that is right, so nothing is known of the result: it must end,
with a row that is rejected or a message that names the file, and within limits of time and memory.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from latentscan.encoding.sources import open_source
from latentscan.errors import LatentscanError, UnsafeInputError, UsageError
from latentscan.images.preprocessing import Preprocessing
from tests.reliability.campaign import GIB, Fault, Finding, Part, Verdict
from tests.reliability.command import BAD_STORE, BAD_USAGE, DONE, SOME_REJECTED, UNSAFE, Said, run
from tests.reliability.mutations import mutated
from tests.reliability.nursery import tail_of
from tests.reliability.small_store import import_what_is_used, random_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.reliability.campaign import Bench

MUTANTS = 2000  # of each kind of input
IMAGE_MODES = {
    "jpeg": ("RGB", "L", "CMYK"),
    "png": ("RGB", "RGBA", "P", "I;16"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("RGB", "P"),
    "gif": ("P",),
    "tiff": ("RGB", "L"),
    "ppm": ("RGB",),
}
SIZE = 16
JOB = """store: s.zarr
analyses:
  - stats: {threshold: 0.1, ranges: [[1, 2], [3, 4]]}
  - kmeans: {k: "1:3", seeds: 1}
  - tsne: {points: 20, perplexity: 3}
results: r.zarr
"""
CLUSTER = """default: local
profiles:
  local: &base
    class: dask.distributed.LocalCluster
    kwargs: {n_workers: 1, threads_per_worker: 1}
    env: {OMP_NUM_THREADS: "1"}
  remote:
    address: tcp://127.0.0.1:8786
"""


def faults(bench: Bench) -> Iterator[Fault]:
    """List the mutants of each kind of input."""
    import_what_is_used(bench, _use)
    bench.made(_prepare)
    for kind, (seeds, attempt) in _kinds(bench.folder).items():
        for number in range(MUTANTS):
            seed = f"{bench.seed} {kind} {number}"
            chosen = seeds[number % len(seeds)]
            yield Fault(
                kind,
                f"{chosen.name} mutant {number}",
                partial(attempt, bench.folder, chosen, seed),
                20,
                2 * GIB,
            )


PART = Part("inputs", "mutated images, lists, arrays, jobs, clusters", faults, quick=51, full=40_000)


def _kinds(folder: Path) -> dict[str, tuple[list[Path], Callable[[Path, Path, str, Path], Finding]]]:
    """Return, for each kind of input, the whole files and what is done with a mutant of one."""
    images = {f"{form} image": (sorted(folder.glob(f"image-*.{form}")), _image) for form in IMAGE_MODES}
    return images | {
        "text list": ([folder / "list.txt"], _list),
        "CSV list": ([folder / "list.csv"], _list),
        "CelebA attributes": ([folder / "list_attr_celeba.txt", folder / "list_attr_celeba.csv"], _celeba),
        "CelebA partition": (
            [folder / "list_eval_partition.txt", folder / "list_eval_partition.csv"],
            _celeba,
        ),
        "array of latents": ([folder / "z.npy"], _ingest),
        "array of images": ([folder / "images.npy"], _array),
        "Zarr metadata of images": ([folder / "images.zarr/zarr.json"], _zarr),
        "Zarr chunk of images": ([folder / "images.zarr/c/0/0/0/0"], _zarr),
        "job file": ([folder / "job.yaml"], _job),
        "cluster file": ([folder / "cluster.yaml"], _cluster),
    }


def _prepare(folder: Path) -> None:
    """Write whole inputs of all kinds."""
    import zarr
    from PIL import Image

    random = np.random.default_rng(0)
    pixels = Image.fromarray(random.integers(0, 256, (24, 20, 3), np.uint8))
    for form, modes in IMAGE_MODES.items():
        for mode in modes:
            image = pixels.convert("L").convert("I;16") if mode == "I;16" else pixels.convert(mode)
            image.save(folder / f"image-{mode.replace(';', '')}.{form}", form.upper())
    names = [f"{number}.jpg" for number in range(4)]
    for name in names:
        shutil.copy(folder / "image-RGB.jpeg", folder / name)
    (folder / "list.txt").write_text("# faces\n" + "\n".join(names) + "\n")
    (folder / "list.csv").write_text("path,split\n" + "".join(f"{name},train\n" for name in names))
    attributes = "Smiling Male\n" + "".join(f"{name} 1 -1\n" for name in names)
    (folder / "list_attr_celeba.txt").write_text(f"{len(names)}\n{attributes}")
    (folder / "list_attr_celeba.csv").write_text("image_id," + attributes.replace(" ", ","))
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names))
    (folder / "list_eval_partition.csv").write_text(
        "image_id,partition\n" + "".join(f"{n},0\n" for n in names)
    )
    np.save(folder / "z.npy", random_points(0))
    images = random.integers(0, 256, (6, 9, 9, 3), np.uint8)
    np.save(folder / "images.npy", images)
    zarr.create_array(folder / "images.zarr", data=images, chunks=images.shape)
    _done(run("ingest", "--z", folder / "z.npy", "--store", folder / "s.zarr"))
    (folder / "job.yaml").write_text(JOB)
    (folder / "cluster.yaml").write_text(CLUSTER)


def _use(folder: Path) -> None:
    """Do once what is done with mutants, with inputs that are whole: each must be taken as it is."""
    shared = folder / "shared"
    shared.mkdir()
    _prepare(shared)
    for kind, (seeds, attempt) in _kinds(shared).items():
        for whole in seeds:
            work = folder / kind / whole.name
            work.mkdir(parents=True)
            os.chdir(work)
            finding = attempt(shared, whole, "", work)
            if finding.verdict is not Verdict.SURVIVED:
                raise RuntimeError(f"{kind}: {whole.name}, which is whole: {finding}")


def _mutant(whole: Path, seed: str) -> bytes:
    content = whole.read_bytes()
    return mutated(content, seed) if seed else content


def _image(_: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / whole.name).write_bytes(_mutant(whole, seed))
    (folder / "list.txt").write_text(whole.name)
    return _read(folder / "list.txt")


def _list(shared: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / whole.name).write_bytes(_mutant(whole, seed))
    return _read(folder / whole.name, root=shared)


def _celeba(shared: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / "img_align_celeba").symlink_to(shared)
    (folder / whole.name).write_bytes(_mutant(whole, seed))
    return _read(folder)


def _array(_: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / whole.name).write_bytes(_mutant(whole, seed))
    return _read(folder / whole.name)


def _zarr(shared: Path, whole: Path, seed: str, folder: Path) -> Finding:
    array = shutil.copytree(shared / "images.zarr", folder / "images.zarr")
    (array / whole.relative_to(shared / "images.zarr")).write_bytes(_mutant(whole, seed))
    return _read(array)


def _ingest(_: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / "z.npy").write_bytes(_mutant(whole, seed))
    return _judged(run("ingest", "--z", "z.npy", "--store", "s.zarr"))


def _job(shared: Path, whole: Path, seed: str, folder: Path) -> Finding:
    (folder / "job.yaml").write_bytes(_mutant(whole, seed))
    (folder / "s.zarr").symlink_to(shared / "s.zarr")
    return _judged(run("submit", "job.yaml", "--plan"))


def _cluster(_: Path, whole: Path, seed: str, folder: Path) -> Finding:
    """Read every profile of a cluster file; nothing is started."""
    from latentscan.cluster.profiles import load_profile

    (folder / "cluster.yaml").write_bytes(_mutant(whole, seed))
    try:
        for name in ("local", "remote", None):
            load_profile(folder / "cluster.yaml", name)
    except LatentscanError as error:
        return _refused(error)
    return Finding(Verdict.SURVIVED)


def _read(images: Path, root: Path | None = None) -> Finding:
    """Open images, and decode the first ones."""
    try:
        source = open_source(str(images), Preprocessing(size=SIZE), root=None if root is None else str(root))
        pixels = source.read(0, min(len(source), 8))
    except LatentscanError as error:
        return _refused(error)
    return Finding(Verdict.DETECTED if pixels.status.any() else Verdict.SURVIVED)


def _refused(error: LatentscanError) -> Finding:
    """Judge an error: bad input is a matter of usage, or of safety."""
    is_right = isinstance(error, UsageError | UnsafeInputError)
    return Finding(Verdict.DETECTED if is_right else Verdict.UNEXPECTED, tail_of(str(error)))


def _done(said: Said) -> None:
    if said.code != DONE:
        raise RuntimeError(f"{said.words}: {said.err}")


def _judged(said: Said) -> Finding:
    breach = said.breach(DONE, BAD_USAGE, SOME_REJECTED, BAD_STORE, UNSAFE)
    return breach or Finding(Verdict.SURVIVED if said.code == DONE else Verdict.DETECTED, tail_of(said.err))

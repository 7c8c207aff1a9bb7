"""Write a data set of procedural faces in CelebA's layout and file formats."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from latentscan.errors import ParameterError, UsageError, parameter
from latentscan.execution.worker import reuse_freed_memory
from latentscan.processors import processors
from latentscan.progress import SILENT
from latentscan.synth.parameters import ATTRIBUTES
from latentscan.synth.population import draw_face
from latentscan.synth.portrait import photograph

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from latentscan.progress import Progress

IMAGES, ATTRIBUTE_LIST, PARTITION_LIST = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
RECORD = "synth.json"

IMAGES_LIMIT = 10_000_000  # days of painting, and tens of gigabytes
WORKERS_LIMIT = 4096

_FORMAT = 1  # to be raised with every change of what a face looks like, so that no data set mixes two
_JPEG_QUALITY = 92
_CHUNK = 64
_CELEBA_TRAIN, _CELEBA_VALID, _CELEBA_TEST = 162_770, 19_867, 19_962


def synthesize(
    directory: Path, images: int, *, seed: int = 0, workers: int | None = None, progress: Progress = SILENT
) -> int:
    """Write procedural faces, or those still missing, and return how many were written.

    The directory gets CelebA's `img_align_celeba/000001.jpg ...`, `list_attr_celeba.txt` and
    `list_eval_partition.txt`. Image i is the same in data sets of any size and for any number of `workers`:
    an interrupted data set can be completed, a complete one enlarged.

    Parameters
    ----------
    directory
        The folder to fill.
    images
        How many images it holds in the end.
    seed
        Seed of all faces.
    workers
        How many processes paint; None for one a processor.
    progress
        Hears of images that are written.

    Raises
    ------
    UsageError
        If a parameter is out of range, or the directory holds other files, another seed, or more images.
    """
    workers = workers if workers is not None else processors()
    bounds = {
        "images": (images, 1, IMAGES_LIMIT),
        "workers": (workers, 1, 4096),
        "seed": (seed, 0, 2**63 - 1),
    }
    for name, (value, least, most) in bounds.items():
        if not least <= value <= most:
            expected = f"expected a whole number from {least} to {most}"
            raise ParameterError(expected, field=name, value=value)
    present = _begin(directory, images, seed)
    missing = [number for number in range(1, images + 1) if image_name(number) not in present]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    written = _write_chunks(directory / IMAGES, seed, chunks, min(workers, len(chunks)))
    with closing(written), progress.task("synth", images, "images", images - len(missing)) as advance:
        for count in written:
            advance(count)
    _write_lists(directory, images, seed)
    return len(missing)


def image_name(number: int) -> str:
    """Return CelebA's file name of an image; the first is number 1."""
    return f"{number:06d}.jpg"


def _begin(directory: Path, images: int, seed: int) -> set[str]:
    """Check that the directory is free or ours, record the seed, and return the names of its images."""
    folder, record_file = directory / IMAGES, directory / RECORD
    folder_exists = folder.is_dir()
    names = {entry.name for entry in os.scandir(directory)} if directory.is_dir() else set()
    present = {entry.name for entry in os.scandir(folder)} if folder_exists else set()
    own = {IMAGES, ATTRIBUTE_LIST, PARTITION_LIST, RECORD}
    foreign = [name for name in names - own if not _is_partial(name)]
    foreign += [f"{IMAGES}/{name}" for name in present if not (_is_image(name) or _is_partial(name))]
    if foreign or (names and RECORD not in names):
        raise UsageError(
            f"{directory} holds files that are not of a synthetic data set ({min([*foreign, *names])}); "
            "choose an empty or a new directory"
        )
    if RECORD in names:
        _check_record(record_file, images, seed)
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(record_file, [json.dumps({"format": _FORMAT, "seed": seed, "images": images})])
    return present


def _check_record(record_file: Path, images: int, seed: int) -> None:
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
        begun = (int(record["format"]), int(record["seed"]), int(record["images"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{record_file} is no record of a synthetic data set; choose another directory"
        ) from error
    if begun[:2] != (_FORMAT, seed):
        raise ParameterError(
            f"{record_file.parent} was begun with {parameter('seed', begun[1])} (format {begun[0]}, and this "
            f"version writes {_FORMAT}); give the same seed, or choose another directory",
            field="seed",
            value=seed,
        )
    if begun[2] > images:
        raise ParameterError(
            f"{record_file.parent} was begun for {parameter('images', begun[2])}; give as many or more, or "
            "choose another directory",
            field="images",
            value=images,
        )


def _is_image(name: str) -> bool:
    return re.fullmatch(r"\d{6,}\.jpg", name) is not None


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _write_chunks(folder: Path, seed: int, chunks: list[list[int]], workers: int) -> Generator[int]:
    if workers <= 1:
        reuse_freed_memory()  # or most of the time would go to page faults of short-lived arrays
        with threadpool_limits(1):
            for chunk in chunks:
                yield _write_images(folder, seed, chunk)
        return
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_worker)
    try:
        for future in as_completed([executor.submit(_write_images, folder, seed, chunk) for chunk in chunks]):
            yield future.result()
    finally:
        executor.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the work after the current chunks
    threadpool_limits(1)  # the matrix products are so small that more threads only wait for one another
    reuse_freed_memory()


def _write_images(folder: Path, seed: int, numbers: Iterable[int]) -> int:
    """Paint and write the images of these numbers; top level, since it runs in worker processes."""
    faces = [(number, draw_face(seed, number - 1)) for number in numbers]  # together, to find the caches warm
    for number, face in faces:
        name = image_name(number)
        partial = f"{folder}/.{name}.part"
        encoded = io.BytesIO()  # Pillow would take longer to write a file than to encode it
        photograph(face).save(encoded, format="JPEG", quality=_JPEG_QUALITY)
        with open(partial, "wb") as file:  # noqa: PTH123 - pathlib would take a hundredth of the whole time
            file.write(encoded.getbuffer())
        os.replace(partial, f"{folder}/{name}")  # noqa: PTH105 - likewise
    return len(faces)


def _write_lists(directory: Path, images: int, seed: int) -> None:
    total = _CELEBA_TRAIN + _CELEBA_VALID + _CELEBA_TEST
    train = round(images * _CELEBA_TRAIN / total)
    valid = round(images * (_CELEBA_TRAIN + _CELEBA_VALID) / total)
    numbers = range(1, images + 1)
    parts = (f"{image_name(number)} {(number > train) + (number > valid)}" for number in numbers)
    _write_lines(directory / PARTITION_LIST, parts)
    _write_lines(directory / ATTRIBUTE_LIST, _attribute_lines(images, seed))


def _attribute_lines(images: int, seed: int) -> Iterator[str]:
    yield str(images)
    yield " ".join(ATTRIBUTES)
    for number in range(1, images + 1):
        holding = draw_face(seed, number - 1).attributes
        yield image_name(number) + "".join("  1" if name in holding else " -1" for name in ATTRIBUTES)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file as a whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    partial.replace(path)

"""Images of several kinds in a folder and in archives, and what it means that they are the same."""

from __future__ import annotations

import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.images.source import ImageSource, Pixels

NAMES = [
    "b/2.png",
    "b/10.PNG",
    "B/1.jpg",
    "1.webp",
    "übung.tif",
    "empty.png",
    "none.jpg",
    "cut.png",
    "big.bmp",
]
LITTER = ["notes.txt", "__MACOSX/._1.webp", ".DS_Store", "b/@eaDir/2.png"]
LIMIT = 500 * 500


def fill(folder: Path) -> Path:
    """Images of several formats, and files that are none or damaged, in an order that is not natural."""
    rng = np.random.default_rng(0)
    for name in [*NAMES, *LITTER]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        side = 600 if name == "big.bmp" else 20
        pixels = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        pixels.save(folder / name, "BMP" if name == "big.bmp" else "WEBP" if "webp" in name else "PNG")
    (folder / "empty.png").write_bytes(b"")
    (folder / "none.jpg").write_bytes(b"no image" * 9)
    (folder / "cut.png").write_bytes((folder / "b/2.png").read_bytes()[:300])
    return folder


def zipped(folder: Path, file: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in [*NAMES, *LITTER]:
            archive.write(folder / name, name)
    return file


def tarred(folder: Path, file: Path, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(file, "w", format=form) as archive:
        for name in [*NAMES, *LITTER]:
            archive.add(folder / name, name)
    return file


ARCHIVES: dict[str, Callable[[Path, Path], Path]] = {
    "stored.zip": zipped,
    "deflated.zip": lambda folder, file: zipped(folder, file, zipfile.ZIP_DEFLATED),
    "pax.tar": tarred,
    "gnu.tar": lambda folder, file: tarred(folder, file, tarfile.GNU_FORMAT),
    "ustar.tar": lambda folder, file: tarred(folder, file, tarfile.USTAR_FORMAT),
}


def assert_same(found: Pixels, expected: Pixels) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.status, expected.status)
    assert {row: reason.split(":")[0] for row, reason in found.reasons.items()} == {
        row: reason.split(":")[0] for row, reason in expected.reasons.items()
    }


def in_threads(source: ImageSource, threads: int) -> list[Pixels]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda row: source.read(row, row + 1), range(len(source))))

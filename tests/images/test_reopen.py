"""Sources that are opened again by other processes."""

from __future__ import annotations

import pickle
import shutil
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from latentscan.errors import UsageError
from latentscan.images.open import open_images
from latentscan.store.image_array import open_array_source
from tests.images.pictures import SMALL, paint_all, upload

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.images.source import ImageSource


def elsewhere(pickled: bytes, expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Evaluate an expression of what was pickled, in a fresh process with another working directory."""
    folder.mkdir(exist_ok=True)
    (folder / "pickled").write_bytes(pickled)
    script = (
        "import pathlib, pickle\n"
        f"it = pickle.loads(pathlib.Path('pickled').read_bytes())\nprint({expression})"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def sources(tmp_path: Path, s3: str) -> dict[str, ImageSource]:
    """One of every kind, named relative to the working directory where that goes."""
    paint_all(tmp_path / "faces", [f"{number}.png" for number in range(60)])
    (tmp_path / "faces/list.txt").write_text("".join(f"{number}.png\n" for number in range(60)))
    zarr.create_array(str(tmp_path / "a.zarr"), data=np.zeros((60, 8, 8), np.uint8))
    np.save(tmp_path / "a.npy", np.zeros((60, 8, 8), np.uint8))
    np.savez(tmp_path / "a.npz", x=np.zeros((60, 8, 8), np.uint8), y=np.zeros((9, 8, 8), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(60):
            archive.write(tmp_path / f"faces/{number}.png", f"{number}.png")
    url = upload(tmp_path / "faces", f"{s3}/faces")
    return {
        "folder": open_images("faces", SMALL),
        "list": open_images("faces/list.txt", SMALL, root="faces", pixel_limit=50),
        "npy": open_images("a.npy", SMALL),
        "npz": open_images("a.npz:x", SMALL),
        "zip": open_images("a.zip", SMALL),
        "zarr": open_array_source("a.zarr", SMALL),
        "url": open_images(url, SMALL),
    }


def test_a_source_is_opened_again_by_another_process(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = sources(tmp_path, s3)
    pickled = pickle.dumps(opened)
    assert len(pickled) < 4000  # for 420 images
    assert b"test" not in pickle.dumps(opened["url"])  # which is key and secret
    row = "(len(one), one.describe(), one.read(50, 52).status.tolist())"
    expression = f"{{name: {row} for name, one in it.items()}}"
    done = elsewhere(pickled, expression, tmp_path / "other")
    expected = {name: (60, one.describe(), one.read(50, 52).status.tolist()) for name, one in opened.items()}
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


def test_a_process_opens_a_source_once(tmp_path: Path) -> None:
    paint_all(tmp_path / "faces", ["1.png", "2.png"])
    pickled = pickle.dumps(open_images(tmp_path / "faces", SMALL))
    with ThreadPoolExecutor(4) as pool:
        copies: list[Any] = list(pool.map(pickle.loads, [pickled] * 8))
    assert len({id(copy) for copy in copies}) == 1


def test_other_images_on_the_machine_of_a_worker_are_an_error(tmp_path: Path) -> None:
    host = socket.gethostname()
    paint_all(tmp_path / "faces", ["1.png", "2.png"])
    pickled = pickle.dumps(open_images(tmp_path / "faces", SMALL))
    (tmp_path / "faces/2.png").rename(tmp_path / "faces/3.png")
    done = elsewhere(pickled, "it", tmp_path / "other")
    where = tmp_path / "faces"
    assert f"UsageError: the worker on {host} sees other images at {where}: sha256 is" in done.stderr
    paint_all(tmp_path / "faces", ["4.png"])
    with pytest.raises(UsageError, match=f"{host} sees other images at {where}: images is 3, expected 2"):
        pickle.loads(pickled)  # noqa: S301
    shutil.rmtree(where)
    with pytest.raises(UsageError, match=f"{host} sees no images at {where}; give a path that all machines"):
        pickle.loads(pickled)  # noqa: S301

"""What decoders write to stderr: nothing, unless it is asked for."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from latentscan.errors import DEBUG

if TYPE_CHECKING:
    from pathlib import Path

READ = """
import sys, threading
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
source = open_images(sys.argv[1], Preprocessing(size=8))
threads = [threading.Thread(target=source.read, args=(0, len(source))) for _ in range(2)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print((source.read(0, len(source)).status != 0).sum())
"""


def damage(folder: Path) -> None:
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        for number in range(12):
            buffer = io.BytesIO()
            image = picture.convert("1") if compression == "group4" else picture
            image.save(buffer, "TIFF", compression=compression)
            content = bytearray(buffer.getvalue())
            for at in (
                rng.integers(8, len(content), 3).tolist() + (len(content) - rng.integers(1, 180, 3)).tolist()
            ):
                content[at] = int(rng.integers(256))
            (folder / f"{compression}{number}.tif").write_bytes(content)


def test_damaged_images_are_rejected_without_a_word(tmp_path: Path) -> None:
    damage(tmp_path)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    quiet = subprocess.run(command, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    loud = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, DEBUG: "1"})
    assert loud.stdout == quiet.stdout
    assert int(loud.stdout) > 20
    assert "UserWarning" in loud.stderr  # of Pillow
    assert "Decode: " in loud.stderr  # of libtiff

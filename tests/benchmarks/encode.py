"""Encoding against its bound and against the study's way; prints one JSON line.

The bound is the time to decode the images alone plus the time in the encoder alone, each with all
processors; images are decoded from a folder, whatever `--source` is. The study's way is Keras's
ImageDataGenerator, which crops and resizes as latentscan does, `model.predict`, and arrays in memory; both
with one `predict` over the generator and with one for each of its batches. All are measured in one process,
in turn, several times; the medians of the ratios are printed.

Run as `python -m tests.benchmarks.encode [--images N] [--rounds N] [--source folder|zip|tar|parquet]`. With
`--model FILE`, an encoder of images of 96x96 such as an .onnx file is measured, and not the study's way, nor
with `--bound-only`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.encode import encode
from latentscan.encoding.parameters import Noise
from latentscan.encoding.pipeline import PIECE_ROWS
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.synth.dataset import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def decode_alone(source: ImageSource) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda at: source.read(at, min(at + PIECE_ROWS, len(source))), starts(source)):
            pass


def packed(faces: Path, kind: str) -> Path:
    """The same images in one file: members as they are, or rows of a table in groups of 100."""
    file = faces.parent / f"faces.{kind}"
    files = sorted((faces / "img_align_celeba").iterdir())
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for one in files:
                archive.write(one, one.name)
    elif kind == "tar":
        with tarfile.open(file, "w") as tar:
            for one in files:
                tar.add(one, one.name)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"image": [one.read_bytes() for one in files]}), file, row_group_size=100)
    return file


def starts(source: ImageSource) -> range:
    return range(0, len(source), PIECE_ROWS)


def encode_alone(encoder: Encoder, images: int) -> None:
    batch = np.zeros((encoder.batch_size, 96, 96, 3), np.uint8)
    for _ in range(images // encoder.batch_size):
        encoder(batch)


def default_network(file: Path) -> Any:
    """Save the encoder that `train` makes, and return it."""
    from latentscan.models.backend import keras
    from latentscan.models.networks import build_encoder

    build_encoder(TrainParameters(kind="vae"), Preprocessing().shape[0]).save(file)
    return keras.models.load_model(file)


def the_studys_way(model: Any, folder: Path, file: Path, *, by_batch: bool) -> None:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    with redirect_stdout(sys.stderr):  # it prints
        generator = ImageDataGenerator(rescale=1 / 255).flow_from_directory(
            folder,
            target_size=(96, 96),
            interpolation="bilinear",
            keep_aspect_ratio=True,
            batch_size=128,
            class_mode=None,
            shuffle=False,
        )
    if by_batch:
        batches = [model.predict(generator[number], verbose=0) for number in range(len(generator))]
        mu, logvar = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    else:
        mu, logvar = model.predict(generator, verbose=0)
    noise = np.clip(np.random.default_rng(0).standard_normal(mu.shape), -5, 5)
    np.savez(file, mu=mu, logvar=logvar, z=mu + np.exp(logvar / 2) * noise)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", choices=["folder", "zip", "tar", "parquet"], default="folder")
    parser.add_argument("--model", type=Path, help="an encoder of images of 96x96; the default network")
    parser.add_argument("--bound-only", action="store_true", help="leave the study's way out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = (options.images, options.rounds, options.source, options.model)
        print(json.dumps(measure(Path(folder), *asked, bound_only=options.bound_only)))


def measure(
    folder: Path,
    images: int,
    rounds: int,
    kind: str = "folder",
    own: Path | None = None,
    *,
    bound_only: bool = False,
) -> dict[str, Any]:
    preprocessing = Preprocessing()
    synthesize(folder / "faces", images)  # in processes that import this module: no Keras at its top
    from latentscan.models.encoder import load_encoder

    source = files = open_images(folder / "faces", preprocessing)
    if kind != "folder":
        source = open_images(packed(folder / "faces", kind), preprocessing)
    model = default_network(folder / "encoder.keras") if own is None else None
    encoder = load_encoder(own or folder / "encoder.keras")
    store = folder / "z.zarr"
    noise = Noise()
    work: dict[str, Callable[[], Any]] = {
        "decode": lambda: decode_alone(files),
        "encoder": lambda: encode_alone(encoder, images),
        "encode": lambda: encode(encoder, source, str(store), noise=noise),
    }
    if model is not None and not bound_only:
        faces, file = folder / "faces", folder / "z.npz"
        work["study"] = lambda: the_studys_way(model, faces, file, by_batch=False)
        work["study_by_batch"] = lambda: the_studys_way(model, faces, file, by_batch=True)
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_number in range(rounds + 1):
        for name, run in work.items():
            shutil.rmtree(store, ignore_errors=True)
            taken = seconds(run)
            if round_number:  # the first one warms up
                times[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in times.items()}
    to_bound = [
        (decode + model) / whole
        for decode, model, whole in zip(times["decode"], times["encoder"], times["encode"], strict=True)
    ]
    to_study = {
        f"ratio_to_{name}": round(statistics.median(np.divide(times[name], times["encode"]).tolist()), 2)
        for name in ("study", "study_by_batch")
        if name in times
    }
    return {
        "source": kind,
        "images": images,
        "rounds": rounds,
        "images_per_s": {name: round(images / taken) for name, taken in median.items()},
        "ratio_to_bound": round(statistics.median(to_bound), 3),
        **to_study,
        "target": {"ratio_to_bound": 0.85, "ratio_to_study": 2.0},
    }


if __name__ == "__main__":
    main()

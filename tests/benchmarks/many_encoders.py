"""Several encoders in one pass over the images against one; prints one JSON line.

All encoders have the default network with weights of their own. One of them, and all counts of them, are
measured in one process, in turn, several times; the medians of the ratios to one are printed.

Run as `python -m tests.benchmarks.many_encoders [--images N] [--rounds N] [--encoders 2,15]`.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from latentscan.encoding.encode import Encoding, encode_together
from latentscan.encoding.parameters import Noise
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.synth.dataset import synthesize


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoders", default="2,15", help="counts, apart by commas")
    options = parser.parse_args()
    counts = [int(count) for count in options.encoders.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), options.images, options.rounds, counts)))


def measure(folder: Path, images: int, rounds: int, counts: list[int]) -> dict[str, Any]:
    synthesize(folder / "faces", images)  # in processes that import this module: no Keras at its top
    from latentscan.models.backend import keras
    from latentscan.models.encoder import load_encoder
    from latentscan.models.networks import build_encoder

    source = open_images(folder / "faces", Preprocessing())
    encoders = []
    for number in range(max(counts)):
        keras.utils.set_random_seed(number)
        file = folder / f"{number}.keras"
        build_encoder(TrainParameters(kind="vae"), Preprocessing().shape[0]).save(file)
        encoders.append(load_encoder(file))
    stores = [folder / f"{number}.zarr" for number in range(len(encoders))]
    times: dict[int, list[float]] = {count: [] for count in (1, *counts)}
    for round_number in range(rounds + 1):
        for count, taken in times.items():
            for store in stores:
                shutil.rmtree(store, ignore_errors=True)
            pairs = zip(encoders[:count], stores, strict=False)
            encodings = [Encoding(encoder, str(store), Noise()) for encoder, store in pairs]
            start = time.perf_counter()
            encode_together(encodings, source)
            if round_number:  # the first one warms up
                taken.append(time.perf_counter() - start)
    ratios = {
        f"ratio_of_{count}": round(statistics.median(np.divide(times[count], times[1]).tolist()), 2)
        for count in counts
    }
    return {
        "images": images,
        "rounds": rounds,
        "ms_per_image": {count: round(1000 * statistics.median(t) / images, 3) for count, t in times.items()},
        **ratios,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "target": {"ratio_of_2": 1.65, "ratio_of_15": 10.0},
    }


if __name__ == "__main__":
    main()

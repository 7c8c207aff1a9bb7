"""Schedulers that die: what is committed by then is kept, and another one goes on with the rest."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.encoding.encode import encode
from latentscan.encoding.parameters import Noise
from latentscan.encoding.sources import open_source
from latentscan.errors import ClusterError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.models.encoder import load_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.reliability.conftest import Command, Site

SIZE, IMAGES, BLOCK_ROWS = 64, 2000, 40
FEW, MANY = 5, 20  # blocks, of 50


@pytest.fixture(scope="module")
def asked(folder: Path) -> tuple[str, str]:
    """Return a user's own encoder, and images that keep it busy for some seconds."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(32, 3, activation="relu")(inputs)
    x = keras.layers.Conv2D(32, 3, strides=4, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    outputs = [keras.layers.Dense(6, name="mu")(x), keras.layers.Dense(6, name="logvar")(x)]
    keras.Model(inputs, outputs).save(folder / "encoder.keras")
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)
    np.save(folder / "images.npy", images)
    return str(folder / "encoder.keras"), str(folder / "images.npy")


def committed(store: Path) -> dict[str, tuple[int, int]]:
    """Return every chunk of the blocks that are committed, and which file it is, last written when."""
    blocks = {path.parent.parent.name for path in store.glob("commits/digest/c/*/0/0")}
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in store.glob("*/c/**/*")
        if path.is_file() and path.relative_to(store).parts[2] in blocks
    }


def blocks_of(store: Path) -> int:
    return len(list(store.glob("commits/digest/c/*/0/0")))


def test_an_encode_outlives_its_scheduler_and_a_worker(
    asked: tuple[str, str],
    start: Callable[..., Command],
    new_site: Callable[..., Site],
    numbers: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    model, images = asked
    command = ("encode", "--model", model, "--images", images, "--chunk-rows", str(BLOCK_ROWS))
    store, site = tmp_path / "z.zarr", new_site(workers=1)
    first = start(*command, "--store", store, "--scheduler", site.address)
    other = new_site()
    site.wait_for("the first blocks", lambda: blocks_of(store) >= FEW, first)
    site.kill_scheduler()
    assert first.ended(60) == 5, first.said
    assert f"{site.address}: the cluster is lost" in first.said
    assert "run the same command again" in first.said
    site.close()
    before = committed(store)
    assert FEW <= blocks_of(store) < MANY

    again = start(*command, "--store", store, "--scheduler", other.address)
    other.wait_for("more blocks", lambda: blocks_of(store) >= MANY, again)
    os.kill(other.stop_at_work(again), signal.SIGKILL)
    assert again.ended() == 0, again.said
    encoder = load_encoder(Path(model))
    source = open_source(Path(images), encoder.default_preprocessing)
    undisturbed = tmp_path / "undisturbed.zarr"
    encode(
        encoder, source, str(undisturbed), noise=Noise(), chunk_rows=BLOCK_ROWS, executor=ThreadedExecutor(1)
    )
    assert numbers(store) == numbers(undisturbed)
    after = committed(store)
    assert {path: after[path] for path in before} == before


def test_a_scheduler_that_dies_between_two_pieces_of_work_is_missed(
    new_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latentscan.cluster.connect.CLIENT_TIMEOUT_S", 2.0)
    site = new_site(workers=1)
    with site.connected() as cluster:
        assert cluster.map_reduce(abs, max, [1, -2]) == 2
        site.kill_scheduler()
        with pytest.raises(ClusterError, match=r"the cluster is lost .* run the same command again"):
            cluster.map_reduce(abs, max, [1, -2])
        with pytest.raises(ClusterError, match=r"the cluster is lost .* run the same command again"):
            cluster.run_tasks(lambda item, _control: item, range(3))

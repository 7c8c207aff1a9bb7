"""A source of images in memory, and one trained run of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Pixels, Status
from latentscan.models.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.source import Attributes


class MemorySource:
    """Real pixels in memory; `taken` counts decoded rows, and rows in `damaged` are rejected."""

    def __init__(
        self,
        values: NDArray[np.uint8],
        damaged: Sequence[int] = (),
        split: NDArray[np.int8] | None = None,
        kind: str = "memory",
    ) -> None:
        self.values = values
        self.damaged = set(damaged)
        self.taken: list[int] = []
        self._split = split
        self._kind = kind

    @property
    def paths(self) -> Sequence[str]:
        return [f"{row:03d}.png" for row in range(len(self))]

    @property
    def split(self) -> NDArray[np.int8] | None:
        return self._split

    @property
    def attributes(self) -> Attributes | None:
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def __len__(self) -> int:
        return len(self.values)

    def read(self, start: int, stop: int) -> Pixels:
        return self.take(range(start, stop))

    def take(self, rows: Sequence[int]) -> Pixels:
        self.taken.extend(rows)
        status = np.array([Status.DAMAGED if row in self.damaged else Status.GOOD for row in rows], np.uint8)
        values = self.values[list(rows)].copy()
        values[status != 0] = 0
        return Pixels(values, status, {int(at): "truncated" for at in np.flatnonzero(status)})

    def describe(self) -> dict[str, Any]:
        return {"kind": self._kind, "images": len(self)}


def smooth_images(count: int, size: int = 32) -> NDArray[np.uint8]:
    """Colour gradients: images of a few degrees of freedom, which a tiny network can learn."""
    rng = np.random.default_rng(7)
    corners = rng.uniform(0, 255, (2, count, 1, 1, 3))
    ramp = np.linspace(0, 1, size).reshape(1, size, 1, 1)
    images = corners[0] * ramp + corners[1] * (1 - ramp)
    return np.broadcast_to(images, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(smooth_images(60))


@pytest.fixture
def make_source() -> type[MemorySource]:
    return MemorySource


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    return smooth_images(60)


@pytest.fixture(scope="session")
def small() -> Preprocessing:
    return Preprocessing(size=32)


@pytest.fixture(scope="session")
def tiny_vae() -> TrainParameters:
    return TrainParameters(kind="vae", z_dim=3, filters=(4, 8), epochs=3, batch_size=16, learning_rate=1e-2)


@pytest.fixture(scope="session")
def tiny_ae(tiny_vae: TrainParameters) -> TrainParameters:
    return tiny_vae.model_copy(update={"kind": "ae", "epochs": 1})


@pytest.fixture(scope="session")
def vae_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_vae: TrainParameters, small: Preprocessing
) -> Path:
    from latentscan.models.training import train

    run = tmp_path_factory.mktemp("runs") / "vae"
    train(MemorySource(smooth_images(60)), run, tiny_vae, small)
    return run


@pytest.fixture(scope="session")
def ae_run(tmp_path_factory: pytest.TempPathFactory, tiny_ae: TrainParameters, small: Preprocessing) -> Path:
    from latentscan.models.training import train

    run = tmp_path_factory.mktemp("runs") / "ae"
    train(MemorySource(smooth_images(60)), run, tiny_ae, small)
    return run


@pytest.fixture(scope="session")
def eights() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)

"""Runs of known kinds: one cloud, turned and scaled, with noise of each run and noise of a whole kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore


def rotation(rng: np.random.Generator, components: int) -> NDArray[np.float64]:
    """Return a random rotation or reflection."""
    return np.linalg.qr(rng.standard_normal((components, components)))[0]


def runs_of_kinds(
    folder: Path,
    kinds: Mapping[str, tuple[int, float, float]],
    *,
    images: int = 400,
    components: int = 6,
    seed: int = 0,
    trainings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, LatentStore]:
    """Write stores of several kinds.

    Parameters
    ----------
    folder
        Where they are written.
    kinds
        Of each kind, by the letter that its stores' names begin with: how many runs, the standard deviation
        of the noise of each run, and that of the noise that all runs of the kind share.
    trainings
        What the stores record of their training, by name.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, components)) * 0.85 ** np.arange(components)
    stores: dict[str, LatentStore] = {}
    for letter, (runs, own, common) in kinds.items():
        shared = common * rng.standard_normal(x.shape)
        for run in range(runs):
            moved = x + shared + own * rng.standard_normal(x.shape)
            z = moved @ rotation(rng, components) * np.exp(0.3 * rng.standard_normal())
            name = f"{letter}{run}.zarr"
            known = (trainings or {}).get(name)
            record = {"encoder": {"name": name, "sha256": "0" * 64, "training": known}} if known else {}
            stores[name] = build_store(
                folder / name,
                arrays={"z": z.astype(np.float32)},
                chunk_rows=90 + 7 * len(stores),
                provenance=record,
            )
    return stores

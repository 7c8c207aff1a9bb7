"""Stores for tests, of any shape; their chunk sizes are no multiple of one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.images.source import Status
from latentscan.store.reader import open_store
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, reject_not_finite, write_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Compression

LATENTS = ("mu", "logvar", "z")


def build_store(
    location: Path | str,
    *,
    images: int = 10,
    components: int = 3,
    chunk_rows: int = 4,
    latents: tuple[str, ...] = LATENTS,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    labels: tuple[str, ...] = (),
    split: bool = False,
    compression: Compression = "none",
    rejected: Iterable[int] = (),
    blocks: Iterable[int] | None = None,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    resume_command: str = "",
) -> LatentStore:
    """Write a store and open it for reading.

    Parameters
    ----------
    location
        Path or URL of the store.
    images, components, latents
        Its shape, unless `arrays` says it.
    arrays
        The latents by name, (image, component); random ones if None.
    rejected
        Rows that no latents could be computed of.
    blocks
        Those to write; all if None.
    seed
        Of random latents; a row is the same whatever the chunking.
    """
    given = dict(arrays) if arrays is not None else random_latents(images, components, latents, seed)
    shape = next(iter(given.values())).shape
    schema = Schema(shape[0], shape[1], tuple(given), chunk_rows, labels, split, compression)
    store = create_store(str(location), schema, provenance or {"seed": seed}, resume_command=resume_command)
    for block in range(schema.blocks) if blocks is None else blocks:
        write_block(store, block, block_values(schema, block, given, rejected))
    return open_store(str(location))


def random_latents(
    images: int, components: int, latents: tuple[str, ...], seed: int
) -> dict[str, NDArray[Any]]:
    """Return random latents by name, (image, component) float32."""
    return {
        name: np.random.default_rng([seed, LATENTS.index(name)])
        .standard_normal((images, components))
        .astype(np.float32)
        for name in latents
    }


def block_values(
    schema: Schema, block: int, latents: Mapping[str, NDArray[Any]], rejected: Iterable[int] = ()
) -> dict[str, Any]:
    """Return the arrays of a block, by name, of latents (image, component)."""
    rows = schema.rows(block)
    values: dict[str, Any] = {
        name: np.array(array[rows.start : rows.stop], np.float32) for name, array in latents.items()
    }
    values["path"] = np.array([f"ünter/{row}.jpg" for row in rows], dtype=object)
    values["status"] = np.where(np.isin(rows, list(rejected)), Status.DAMAGED, Status.GOOD).astype(np.uint8)
    values["split"] = np.array([row % 3 for row in rows], np.int8)
    values["attribute"] = np.array(
        [[1 if (row // (label + 1)) % 3 == 0 else -1 for label in range(len(schema.labels))] for row in rows],
        np.int8,
    )
    reject_not_finite(values)
    return {name: values[name] for name in schema.names}

"""Stores whose attributes are planted: along a direction, in a cluster, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.store.reader import open_store
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store, write_block

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore


def store_of(
    location: Path,
    z: NDArray[np.floating],
    *,
    binary: Mapping[str, NDArray[Any]] | None = None,
    numbers: Mapping[str, NDArray[Any]] | None = None,
    texts: Mapping[str, NDArray[Any]] | None = None,
    split: NDArray[np.integer] | None = None,
    chunk_rows: int = 1000,
) -> LatentStore:
    """Write points (n, component) with attributes, each (n,): binary ones are 1, -1, or 0 where unknown."""
    binary, numbers, texts = dict(binary or {}), dict(numbers or {}), dict(texts or {})
    schema = Schema(
        images=z.shape[0],
        components=z.shape[1],
        latents=("z",),
        chunk_rows=chunk_rows,
        labels=tuple(binary),
        split=split is not None,
        float_labels=tuple(numbers),
        text_labels=tuple(texts),
    )
    categories = {label: sorted(set(values) - {""}) for label, values in texts.items()}
    store = create_store(str(location), schema, {"categories": categories})
    arrays: dict[str, Any] = {
        "z": z.astype(np.float32),
        "path": np.array([f"{row}.jpg" for row in range(len(z))], object),
        "status": np.isnan(z).any(axis=1).astype(np.uint8),
    }
    if split is not None:
        arrays["split"] = split.astype(np.int8)
    for name, columns, kind in (
        ("attribute", binary, np.int8),
        ("attribute_float", numbers, np.float64),
        ("attribute_text", texts, object),
    ):
        if columns:
            arrays[name] = np.stack(list(columns.values()), axis=1).astype(kind)
    for block in range(schema.blocks):
        rows = schema.rows(block)
        write_block(store, block, {name: array[rows.start : rows.stop] for name, array in arrays.items()})
    return open_store(str(location))


def along(rows: int, components: int, apart: float, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return points of two Gaussian classes whose means are `apart` in standard deviations within them.

    Their covariance is far from round, and mixes all components. The classes are 1 and -1.
    """
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((components, components)) + np.eye(components)
    classes = np.where(rng.random(rows) < 0.4, 1, -1)
    white = rng.standard_normal((rows, components))
    towards = rng.standard_normal(components)
    white += np.outer(classes == 1, apart * towards / np.linalg.norm(towards))
    return white @ mixing.T, classes

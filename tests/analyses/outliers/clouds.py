"""Clouds with planted outliers and near-duplicates, and clouds without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def gaussian(rows: int, components: int, seed: int = 0) -> NDArray[np.float32]:
    """Return rows of a Gaussian whose components are correlated, and differ in their variance."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((components, components)) * (0.85 ** np.arange(components))[:, None]
    return (rng.standard_normal((rows, components)) @ mixing + 3).astype(np.float32)


def permuted(x: NDArray[np.float32], rows: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """Return rows, some of which have the components of others in another order, so that radii stay."""
    rng, found = np.random.default_rng(seed), x.copy()
    for row in rows.tolist():
        found[row] = x[rng.integers(len(x))][rng.permutation(x.shape[1])]
    return found

"""Clouds whose shape is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def ellipsoid(rows: int, components: int, seed: int = 0) -> Floats:
    """Return a Gaussian whose components differ in their variance, turned and moved."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, components)) * 0.9 ** np.arange(components)
    return np.asarray(x @ np.linalg.qr(rng.standard_normal((components, components)))[0] + 3)


def heavy(rows: int, components: int, seed: int = 0) -> Floats:
    """Return a t distribution of 3 degrees of freedom."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(rng.chisquare(3, (rows, 1)) / 3)
    return np.asarray(rng.standard_normal((rows, components)) / scale)


def clusters(rows: int, components: int, apart: float, count: int, seed: int = 0) -> Floats:
    """Return clusters of variance 1, whose centres are about so far from one another."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, components)) * apart / np.sqrt(2 * components)
    return np.asarray(rng.standard_normal((rows, components)) + centres[rng.integers(count, size=rows)])


def two(rows: int, components: int, apart: float, seed: int = 0) -> Floats:
    """Return two clusters."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, components))
    x[:, 0] += apart * rng.integers(2, size=rows)
    return x


def filaments(rows: int, components: int, seed: int = 0) -> Floats:
    """Return rows on thirty straight lines, with a little noise."""
    rng = np.random.default_rng(seed)
    starts, directions = rng.standard_normal((2, 30, components))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    line = rng.integers(30, size=rows)
    along = rng.uniform(-15, 15, (rows, 1))
    noise = 0.1 * rng.standard_normal((rows, components))
    return np.asarray(3 * starts[line] + along * directions[line] + noise)


def swiss_roll(rows: int, components: int, seed: int = 0) -> Floats:
    """Return a rolled sheet in three components, and noise in the others."""
    rng = np.random.default_rng(seed)
    turn = 1.5 * np.pi * (1 + 2 * rng.random(rows))
    sheet = np.column_stack([turn * np.cos(turn), 21 * rng.random(rows), turn * np.sin(turn)])
    return np.hstack([sheet, 0.3 * rng.standard_normal((rows, components - 3))])

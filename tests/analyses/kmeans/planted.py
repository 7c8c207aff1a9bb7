"""Clouds of which it is known whether they have clusters, and how many."""

from __future__ import annotations

from typing import Any

import numpy as np

COMPONENTS = 32


def clusters(count: int, apart: float) -> Any:
    """Return a generator of clusters whose centres are so many standard deviations apart on average."""

    def made(rng: np.random.Generator, rows: int) -> Any:
        middles = rng.standard_normal((count, COMPONENTS)) * apart / np.sqrt(2 * COMPONENTS)
        return middles[rng.integers(0, count, rows)] + rng.standard_normal((rows, COMPONENTS))

    return made


def two(rng: np.random.Generator, rows: int) -> Any:
    z = rng.standard_normal((rows, COMPONENTS))
    z[:, 0] += 12 * rng.integers(0, 2, rows)
    return z


def gaussian(rng: np.random.Generator, rows: int) -> Any:
    return rng.standard_normal((rows, COMPONENTS)) + 5


def correlated(rng: np.random.Generator, rows: int) -> Any:
    return rng.standard_normal((rows, COMPONENTS)) @ rng.standard_normal((COMPONENTS, COMPONENTS))


def shell(rng: np.random.Generator, rows: int) -> Any:
    z = rng.standard_normal((rows, COMPONENTS))
    return 8 * z / np.linalg.norm(z, axis=1, keepdims=True)


def heavy_tails(rng: np.random.Generator, rows: int) -> Any:
    """Return rows of the t distribution with 3 degrees of freedom."""
    return rng.standard_normal((rows, COMPONENTS)) / np.sqrt(rng.chisquare(3, (rows, 1)) / 3)


def filaments(rng: np.random.Generator, rows: int) -> Any:
    middles, directions = 2 * rng.standard_normal((30, COMPONENTS)), rng.standard_normal((30, COMPONENTS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    of = rng.integers(0, 30, rows)
    noise = 0.1 * rng.standard_normal((rows, COMPONENTS))
    return middles[of] + directions[of] * rng.uniform(-8, 8, (rows, 1)) + noise


def swiss_roll(noise: float) -> Any:
    """Return a generator of a swiss roll with noise in all components."""

    def made(rng: np.random.Generator, rows: int) -> Any:
        turn = 1.5 * np.pi * (1 + 2 * rng.random(rows))
        z = noise * rng.standard_normal((rows, COMPONENTS))
        z[:, :3] += np.stack([turn * np.cos(turn), 21 * rng.random(rows), turn * np.sin(turn)], axis=1)
        return z

    return made

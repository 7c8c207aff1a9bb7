"""Seeded samples of images that are nested: the first of a larger sample are the smaller one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclass(frozen=True)
class Sample:
    """The images with the smallest keys, in the order of their keys.

    Parameters
    ----------
    size
        The number of images asked for.
    drawn_from
        The number of images that the sample was drawn from.
    keys
        Ascending, (n,), where n is at most `size` and at most `drawn_from`.
    images
        Their images, (n,).
    """

    size: int
    drawn_from: int
    keys: NDArray[np.uint64]
    images: NDArray[np.int64]

    def merge(self, other: Sample) -> Sample:
        """Return the sample of both sets of images."""
        keys = np.concatenate([self.keys, other.keys])
        images = np.concatenate([self.images, other.images])
        order = np.argsort(keys, kind="stable")[: self.size]
        return Sample(self.size, self.drawn_from + other.drawn_from, keys[order], images[order])


def sample(images: NDArray[np.int64], size: int, seed: int) -> Sample:
    """Draw some images without replacement.

    An image is in the sample because of its own key, a hash of the seed and its number: the sample does
    not depend on blocks, and the first of a sample of 80,000 are the sample of 20,000.

    Parameters
    ----------
    images
        Their numbers, (n,).
    size
        How many to draw at most.
    seed
        Of the hash.

    Examples
    --------
    >>> sample(np.arange(1000), 3, seed=0).images
    array([591, 281, 773])
    """
    keys = _keys(images, seed)
    order = np.argsort(keys, kind="stable")[:size]
    return Sample(size, len(images), keys[order], images[order])


def is_sampled(images: NDArray[np.int64], rate: float, seed: int) -> NDArray[np.bool_]:
    """Return which images (n,) are in a random sample of about a share of all, by their numbers alone.

    Examples
    --------
    >>> int(is_sampled(np.arange(10_000), 0.1, seed=0).sum())
    990
    """
    if rate >= 1:
        return np.ones(len(images), bool)
    return _keys(images, seed) < np.uint64(rate * 2.0**64)


def _keys(images: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Hash image numbers: the images-th outputs of the SplitMix64 generator, which never repeat.

    Steele, G. L., Lea, D., Flood, C. H. (2014), Fast splittable pseudorandom number generators.
    """
    state = mixed(np.array([seed], np.uint64) + np.uint64(_GAMMA))
    return mixed(state + (images.astype(np.uint64) + np.uint64(1)) * np.uint64(_GAMMA))


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of words so that each depends on all: the last step of SplitMix64, which is reversible."""
    for shift, factor in _MIX:
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return words ^ (words >> np.uint64(31))

"""A sample depends on the seed and the images alone, nests, repeats nothing, and favours no image."""

from __future__ import annotations

from functools import reduce

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.sampling import Sample, sample

seeds = st.integers(0, 2**63 - 1)


@given(seeds, st.integers(1, 500), st.integers(0, 600), st.lists(st.integers(0, 500), max_size=6))
def test_any_chunking_gives_the_sample_of_the_whole(seed: int, n: int, size: int, cuts: list[int]) -> None:
    images = 3 * np.arange(n, dtype=np.int64)
    parts = [sample(part, size, seed) for part in np.split(images, sorted(cut for cut in cuts if cut < n))]
    whole = sample(images, size, seed)
    forward, backward = reduce(Sample.merge, parts), reduce(Sample.merge, parts[::-1])
    assert forward.images.tolist() == backward.images.tolist() == whole.images.tolist()
    assert forward.keys.tolist() == whole.keys.tolist()


@given(seeds, st.integers(1, 2000), st.integers(0, 2500), st.integers(0, 2500))
def test_samples_are_nested_and_repeat_nothing(seed: int, n: int, a: int, b: int) -> None:
    images = np.arange(n, dtype=np.int64)
    small, large = (sample(images, size, seed).images for size in sorted((a, b)))
    assert large[: len(small)].tolist() == small.tolist()
    assert len(np.unique(large)) == len(large) == min(max(a, b), n)
    assert np.isin(large, images).all()


@given(seeds)
def test_the_empty_sample_is_the_identity(seed: int) -> None:
    nothing, some = (sample(np.arange(n, dtype=np.int64), 50, seed) for n in (0, 80))
    assert nothing.merge(some).images.tolist() == some.merge(nothing).images.tolist() == some.images.tolist()


def test_no_image_is_favoured() -> None:
    images, size, draws = np.arange(1000, dtype=np.int64), 100, 2000
    drawn = np.bincount(np.concatenate([sample(images, size, seed).images for seed in range(draws)]))
    share = size / len(images)
    deviation = (drawn - draws * share) / np.sqrt(draws * share * (1 - share))
    assert np.abs(deviation).max() < 5
    assert 0.85 < np.mean(deviation**2) < 1.15  # 1 for independent draws; 0.045 is its standard error


def test_the_order_is_random_too() -> None:
    images = np.arange(200, dtype=np.int64)
    places = [np.flatnonzero(sample(images, 200, seed).images == 7)[0] for seed in range(2000)]
    assert abs(np.mean(places) - 99.5) < 5 * np.sqrt(200**2 / 12 / 2000)
    draws = np.array([sample(images, 50, seed).images for seed in (0, 1, 2)])
    assert all(len(np.intersect1d(a, b)) < 30 for a, b in ((draws[0], draws[1]), (draws[1], draws[2])))

from __future__ import annotations

from collections import Counter
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.duplicates import Repeats, repeats, row_hashes

rows = st.lists(st.tuples(*[st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e-40])] * 3), max_size=40)


@given(rows, st.lists(st.integers(0, 40), max_size=4), st.sampled_from([3, 1000]))
def test_any_chunking_counts_what_a_dictionary_counts(
    values: list[tuple[float, ...]], cuts: list[int], most: int
) -> None:
    x = np.array(values, np.float32).reshape(-1, 3)
    images = np.arange(len(x)) + 70
    pieces = zip(np.split(x, sorted(cuts)), np.split(images, sorted(cuts)), strict=True)
    found = reduce(lambda a, b: a.merge(b, most), [repeats(*piece, most) for piece in pieces])
    whole = repeats(x, images, most)
    for name in ("level", "hashes", "counts", "first"):
        assert np.array_equal(getattr(found, name), getattr(whole, name))
    assert len(found.hashes) <= most
    counted = Counter(row.tobytes() for row in x)
    if len(counted) <= most:
        assert found.rows == len(x)
        assert found.repeated == len(x) - len(counted)
        sizes, first = found.largest(3)
        assert sizes.tolist() == [n for _, n in counted.most_common(3) if n > 1]
        assert all(counted[x[image - 70].tobytes()] == n for image, n in zip(first, sizes, strict=True))
        assert all((x[: image - 70] != x[image - 70]).any(axis=1).all() for image in first if 0 not in x)


def test_of_very_many_values_a_random_share_is_followed() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((20_000, 4)).astype(np.float32), 2, axis=0)
    found = reduce(
        lambda a, b: a.merge(b, 4000),
        [repeats(x[at : at + 5000], np.arange(at, at + 5000), 4000) for at in range(0, 40_000, 5000)],
    )
    assert found.level == 3
    assert found.repeated * 2 == found.rows
    assert found.rows == pytest.approx(40_000 / 2**3, rel=0.06)
    assert found.merge(Repeats.empty(), 4000).hashes.tobytes() == found.hashes.tobytes()


@pytest.mark.parametrize("components", [1, 2, 7])
@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 2.0], [-1.0, 1.0]])
def test_rows_of_few_values_are_told_apart(components: int, values: list[float]) -> None:
    grids = np.meshgrid(*[values] * components)
    x = np.stack([grid.ravel() for grid in grids], axis=1).astype(np.float32)
    assert len(np.unique(row_hashes(x))) == len(x)


def test_no_two_hashes_of_many_rows_are_equal() -> None:
    x = (np.arange(300_000, dtype=np.float32)[:, None] % np.array([551, 1024], np.float32)).astype(np.float32)
    assert len(np.unique(row_hashes(x))) == len(np.unique(x, axis=0))

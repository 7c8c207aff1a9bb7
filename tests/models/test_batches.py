from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.models.batches import Batches

if TYPE_CHECKING:
    from numpy.typing import NDArray


IMAGE_BYTES = 32 * 32 * 3


def run_epoch(batches: Batches) -> list[tuple[int, NDArray[np.uint8]]]:
    return list(batches.epoch(np.arange(len(batches))[::-1], 16))


def test_batches_follow_the_order(source: Any) -> None:
    with Batches(source, np.arange(10, 50), 32, 10**9) as batches:
        counts, pixels = zip(*run_epoch(batches), strict=True)
    assert counts == (16, 16, 8)
    np.testing.assert_array_equal(np.concatenate(pixels), source.values[10:50][::-1])


@pytest.mark.parametrize(("cached", "decoded_again"), [(60, 0), (25, 35), (0, 60)])
def test_later_epochs_decode_only_what_the_cache_does_not_hold(
    source: Any, cached: int, decoded_again: int
) -> None:
    with Batches(source, np.arange(60), 32, cached * IMAGE_BYTES) as batches:
        first = run_epoch(batches)
        assert sorted(source.taken) == list(range(60))
        source.taken.clear()
        second = run_epoch(batches)
    assert len(source.taken) == decoded_again
    for (_, a), (_, b) in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rejected_images_are_left_out_and_not_tried_again(
    make_source: Any, images: NDArray[np.uint8]
) -> None:
    source = make_source(images, damaged=(0, 17, 59))
    with Batches(source, np.arange(60), 32, 20 * IMAGE_BYTES) as batches:
        for _ in range(2):
            counts, pixels = zip(*run_epoch(batches), strict=True)
            assert sum(counts) == 60
            np.testing.assert_array_equal(
                np.concatenate(pixels), np.delete(images, [0, 17, 59], axis=0)[::-1]
            )
    assert batches.rejected == {f"{row:03d}.png": "truncated" for row in (0, 17, 59)}
    assert source.taken.count(17) == 1


def test_an_error_of_the_source_reaches_the_caller(source: Any) -> None:
    with Batches(source, np.array([3, 99]), 32, 0) as batches, pytest.raises(IndexError):
        run_epoch(batches)


@pytest.mark.parametrize(
    ("most", "step", "rows"),
    [(60, 1, [*range(1, 60)]), (59, 2, [*range(2, 60, 2)]), (4, 15, [15, 30, 45]), (1, 60, None)],
)
def test_probe_is_every_nth_good_row(
    make_source: Any, images: NDArray[np.uint8], most: int, step: int, rows: list[int] | None
) -> None:
    with Batches(make_source(images, damaged=(0,)), np.arange(60), 32, 10**9) as batches:
        if rows is None:
            with pytest.raises(UsageError):
                batches.probe(most)
            return
        probe = batches.probe(most)
        assert probe.step == step
        np.testing.assert_array_equal(probe.pixels, images[rows])


def test_no_usable_image_is_an_error(make_source: Any, images: NDArray[np.uint8]) -> None:
    source = make_source(images, damaged=range(60))
    with Batches(source, np.arange(60), 32, 0) as batches, pytest.raises(UsageError) as caught:
        batches.probe(8)
    assert str(caught.value) == (
        "no usable image: all 8 that were tried were rejected, such as 000.png (truncated); "
        "expected images that can be decoded"
    )

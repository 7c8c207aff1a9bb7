from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentscan.kernels.reduction import LatentBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray


@given(st.integers(0, 10**6), st.lists(st.sampled_from([0, 0, 1, 5]), max_size=50))
def test_a_block_has_the_good_rows_with_their_images(start: int, codes: list[int]) -> None:
    status = np.array(codes, np.uint8)
    rows: NDArray[np.float32] = np.arange(2 * len(codes), dtype=np.float32).reshape(-1, 2)
    block = LatentBlock.of_rows(start, {"mu": rows, "z": rows + 1}, status)
    good = [number for number, code in enumerate(codes) if code == 0]
    assert block.images.tolist() == [start + number for number in good]
    assert block.latents.keys() == {"mu", "z"}
    np.testing.assert_array_equal(block.latents["mu"], rows[good])
    np.testing.assert_array_equal(block.latents["z"], rows[good] + 1)
    assert block.rejected == len(codes) - len(good)


def test_a_block_without_rejected_rows_is_not_copied() -> None:
    rows = np.ones((3, 2), np.float32)
    assert LatentBlock.of_rows(0, {"z": rows}, np.zeros(3, np.uint8)).latents["z"] is rows

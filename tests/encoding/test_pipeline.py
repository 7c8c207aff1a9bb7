"""decode -> encode -> finish -> write, stage by stage."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.encoding.parameters import Noise
from latentscan.encoding.pipeline import (
    DECODED_AHEAD,
    Batch,
    EncodedBlock,
    EncodingTask,
    Target,
    decode_ahead,
    encode_block,
    finish_block,
)
from latentscan.execution.executor import Stopped
from latentscan.images.arrays import ArraySource
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Pixels, Status
from latentscan.kernels.epsilon import epsilon
from latentscan.store.schema import Schema
from latentscan.store.writer import create_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from latentscan.models.encoder import Encoder
    from latentscan.store.reader import LatentStore

SIZE = 32


class Control:
    """Counts images, and stops a task once so many calls of `stopped` were answered."""

    def __init__(self, patience: int = 1000) -> None:
        self.done = 0
        self._patience = patience

    def stopped(self) -> bool:
        self._patience -= 1
        return self._patience < 0

    def advance(self, amount: int, /, **_figures: float) -> None:
        self.done += amount


class RecordingSource(ArraySource):
    """Images in memory, and the rows that were decoded of them, in the order in which that was begun."""

    def __init__(self, images: int) -> None:
        rng = np.random.default_rng(5)
        pixels = rng.integers(0, 256, (images, SIZE, SIZE, 3), np.uint8)
        super().__init__(pixels, "memory", Preprocessing(size=SIZE))
        self.begun: deque[range] = deque()

    def read(self, start: int, stop: int) -> Pixels:
        self.begun.append(range(start, stop))
        return super().read(start, stop)


def batches_of(rows: Sequence[range]) -> list[tuple[int, range]]:
    return list(enumerate(rows))


def store_for(folder: Path, images: int, chunk_rows: int) -> LatentStore:
    schema = Schema(images, 6, ("mu", "logvar", "z"), chunk_rows)
    return create_store(str(folder / "z.zarr"), schema, {})


def files(store: LatentStore) -> dict[str, bytes]:
    from pathlib import Path

    root = Path(store.location)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@given(st.lists(st.integers(1, 80), min_size=1, max_size=6), st.integers(1, 3))
def test_batches_come_in_order_with_the_pixels_of_their_rows(lengths: list[int], threads: int) -> None:
    ends = np.cumsum(lengths).tolist()
    rows = [range(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    source = RecordingSource(ends[-1])
    found = list(decode_ahead(source, batches_of(rows), threads))
    assert [(batch.block, batch.rows) for batch in found] == batches_of(rows)
    for batch in found:
        np.testing.assert_array_equal(batch.values, source.take(batch.rows).values)
        assert not batch.status.any()


def test_a_few_batches_are_decoded_ahead_and_no_more() -> None:
    source = RecordingSource(80)
    rows = [range(start, start + 10) for start in range(0, 80, 10)]
    decoded = decode_ahead(source, batches_of(rows), 1)
    next(decoded)
    decoded.close()  # waits for what is being decoded, and drops the rest
    assert 1 <= len(source.begun) <= DECODED_AHEAD
    source.begun.clear()
    decoded = decode_ahead(source, batches_of(rows), 1)
    for _ in range(3):
        next(decoded)
    decoded.close()
    assert len(source.begun) <= 2 + DECODED_AHEAD


def test_reasons_are_by_row_whatever_the_pieces() -> None:
    def piece(status: list[int], reasons: dict[int, str]) -> Pixels:
        return Pixels(np.zeros((len(status), 2, 2, 3), np.uint8), np.array(status, np.uint8), reasons)

    batch = Batch(3, range(40, 45), [piece([0, 5], {1: "cut"}), piece([3, 0, 4], {0: "empty", 2: "text"})])
    assert batch.reasons == {41: "cut", 42: "empty", 44: "text"}
    assert batch.status.tolist() == [0, 5, 3, 0, 4]
    assert batch.values.shape == (5, 2, 2, 3)


def test_a_block_is_encoded_batch_by_batch(encoder: Encoder) -> None:
    source, control = RecordingSource(70), Control()
    rows = [range(32), range(32, 64), range(64, 70)]
    encoded = encode_block(encoder, 4, decode_ahead(source, [(4, part) for part in rows], 1), control)
    assert (encoded.block, control.done) == (4, 70)
    for part in rows:
        for name, values in encoder(source.read(part.start, part.stop).values).items():
            np.testing.assert_array_equal(encoded.arrays[name][part.start : part.stop], values)


def test_a_block_that_nobody_waits_for_is_given_up(encoder: Encoder) -> None:
    source, control = RecordingSource(90), Control(patience=1)
    rows = [(0, range(start, start + 30)) for start in range(0, 90, 30)]
    with pytest.raises(Stopped):
        encode_block(encoder, 0, decode_ahead(source, rows, 1), control)
    assert control.done == 60


def encoded_rows(**changed: Any) -> EncodedBlock:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "mu": rng.standard_normal((4, 3)).astype(np.float32),
        "logvar": rng.normal(-3, 1, (4, 3)).astype(np.float32),
        "status": np.zeros(4, np.uint8),
    }
    return EncodedBlock(2, {**arrays, **changed})


def test_z_is_that_of_its_rows_and_seed() -> None:
    source, encoded = RecordingSource(12), encoded_rows()
    noise = Noise(seed=9, limit=1.5, factor=2)
    z = finish_block(encoded, range(8, 12), source=source, noise=noise).arrays["z"]
    mu, logvar = encoded.arrays["mu"], encoded.arrays["logvar"].astype(np.float64)
    expected = mu + np.exp(logvar / 2) * epsilon(9, 8, 12, 3, 1.5) * 2
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)


def test_a_finished_block_has_nan_for_rejected_rows_and_leaves_the_encoded_one_as_it_is() -> None:
    source = RecordingSource(12)
    status = np.array([0, Status.EMPTY, 0, 0], np.uint8)
    mu = encoded_rows().arrays["mu"].copy()
    mu[3, 1] = np.inf
    encoded = encoded_rows(status=status, mu=mu)
    before = {name: values.copy() for name, values in encoded.arrays.items()}
    finished = finish_block(encoded, range(8, 12), source=source, noise=Noise())
    assert finished.arrays["status"].tolist() == [0, Status.EMPTY, 0, Status.NOT_FINITE]
    assert finished.arrays["path"].tolist() == ["8", "9", "10", "11"]
    for name in ("mu", "logvar", "z"):
        assert np.isnan(finished.arrays[name][[1, 3]]).all()
        assert np.isfinite(finished.arrays[name][[0, 2]]).all()
    for name, values in before.items():
        np.testing.assert_array_equal(encoded.arrays[name], values)
    assert set(encoded.arrays) == set(before)


def test_one_task_for_all_blocks_writes_what_a_task_for_each_writes(encoder: Encoder, tmp_path: Path) -> None:
    source, control = RecordingSource(75), Control()
    together = store_for(tmp_path / "together", 75, 20)
    assert EncodingTask([Target(encoder, together, Noise(3))], source, threads=2)(range(4), control) == {}
    assert control.done == 75
    apart = store_for(tmp_path / "apart", 75, 20)
    for block in (2, 0, 3, 1):
        EncodingTask([Target(encoder, apart, Noise(3))], source)([block], control)
    assert together.committed().all()
    assert files(together) == files(apart)


def test_batches_of_the_next_block_are_decoded_while_one_is_encoded(encoder: Encoder, tmp_path: Path) -> None:
    source, store = RecordingSource(40), store_for(tmp_path, 40, 10)
    begun: list[int] = []

    class Watching(Control):
        def advance(self, amount: int, /, **_figures: float) -> None:
            patience = time.monotonic() + 20  # threads may be late on a busy machine
            while not begun and max(rows.stop for rows in source.begun) <= 10 and time.monotonic() < patience:
                time.sleep(0.01)
            begun.append(max(rows.stop for rows in source.begun))

    EncodingTask([Target(encoder, store, Noise())], source)(range(4), Watching())
    assert begun[0] > 10, "nothing of the second block was begun when the first was encoded"


def test_a_committed_block_is_not_written_again(encoder: Encoder, tmp_path: Path) -> None:
    source, store, control = RecordingSource(40), store_for(tmp_path, 40, 10), Control()
    EncodingTask([Target(encoder, store, Noise())], source)([1], control)
    source.begun.clear()
    EncodingTask([Target(encoder, store, Noise())], source)(range(4), control)
    assert control.done == 50
    assert sorted(rows.start for rows in source.begun) == [0, 20, 30]


def test_an_interrupted_task_has_committed_whole_blocks_only(encoder: Encoder, tmp_path: Path) -> None:
    source, store = RecordingSource(60), store_for(tmp_path, 60, 10)
    with pytest.raises(Stopped):
        EncodingTask([Target(encoder, store, Noise())], source)(range(6), Control(patience=3))
    assert store.committed().tolist() == [True, True, True, False, False, False]
    EncodingTask([Target(encoder, store, Noise())], source)(range(6), Control())
    whole = store_for(tmp_path / "whole", 60, 10)
    EncodingTask([Target(encoder, whole, Noise())], source)(range(6), Control())
    assert files(store) == files(whole)

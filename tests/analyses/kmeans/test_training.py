from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscan.analyses.kmeans.training import (
    FEWEST_BATCHES,
    FIXED_COST,
    Schedule,
    TrainingData,
    balanced,
    initial_centres,
    mixed_batches,
    train,
)
from latentscan.execution.context import Execution
from latentscan.execution.executor import Stopped
from latentscan.execution.threaded import ThreadedExecutor


@pytest.mark.parametrize("rows", [1, 99, 100, 199, 200, 1234])
def test_batches_hold_every_row_once_and_none_is_short(rows: int) -> None:
    z = np.arange(rows, dtype=np.float32)[:, None]
    schedule = Schedule.of(rows, 100, 0)
    batches = list(mixed_batches(iter(np.array_split(z, 7)), 100, np.random.default_rng(0)))
    assert len(batches) == schedule.batches
    assert schedule.batches * schedule.passes >= FEWEST_BATCHES
    assert sorted(np.concatenate(batches).ravel().tolist()) == list(range(rows))
    assert [len(batch) for batch in batches] == [len(schedule.batch(n)) for n in range(schedule.batches)]
    assert rows == 1 or not np.array_equal(np.concatenate(batches), z)


def test_rows_of_different_blocks_are_mixed() -> None:
    blocks = (np.full((100, 1), number, np.float32) for number in range(40))
    batches = list(mixed_batches(blocks, 100, np.random.default_rng(0)))
    assert min(len(np.unique(batch)) for batch in batches) >= 5


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 8))
def test_groups_of_models_are_about_equal_work(ks: list[int], groups: int) -> None:
    found = balanced(ks, groups)
    assert len(found) == groups
    assert sorted(k for group in found for k in group) == sorted(ks)
    work = [sum(k + FIXED_COST for k in group) for group in found]
    assert max(work) - min(work) <= max(ks) + FIXED_COST


def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((600, 4)).astype(np.float32)


def test_the_first_initial_centres_are_a_choice_of_fewer() -> None:
    many = initial_centres(rows(), 9, [0, 5], Execution())
    few = initial_centres(rows(), 4, [5], Execution(ThreadedExecutor(1)))
    assert many.keys() == {0, 5}
    assert many[5][:4].tobytes() == few[5].tobytes()
    assert many[0].tobytes() != many[5].tobytes()
    assert {tuple(centre) for centre in many[0]} <= {tuple(row) for row in rows()}


def test_a_model_is_the_same_in_any_group() -> None:
    schedule = Schedule.of(600, 100, 2)
    initial = initial_centres(rows(), 9, [0, 1], Execution())

    def batches(seed: int) -> list[np.ndarray]:
        order = np.random.default_rng(seed).permutation(600)
        return [rows()[order[at : at + 100]] for at in range(0, 600, 100)] * 2

    data = TrainingData(schedule, initial, lambda seed: iter(batches(seed)))
    one, two = (
        train(data, (2, 5, 9), (0, 1), Execution(ThreadedExecutor(threads)), label="test")
        for threads in (1, 2)
    )
    assert one.keys() == two.keys() == {(k, seed) for k in (2, 5, 9) for seed in (0, 1)}
    for model, centres in one.items():
        assert centres.shape == (model[0], 4)
        assert centres.tobytes() == two[model].tobytes()


def test_training_can_be_stopped() -> None:
    class Stopping:
        """Runs the first task alone, which is asked to stop after three batches."""

        count, in_process = 1, True
        left = 3

        def threads_per_task(self, tasks: int) -> int:
            return 1

        def stopped(self) -> bool:
            return self.left == 0

        def advance(self, amount: int, /, **figures: float) -> None:
            self.left -= amount

        def run_tasks(self, work, items, **settings):  # type: ignore[no-untyped-def]
            return [work(items[0], self)]

        def map_reduce(self, *arguments, **settings):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    stopping = Stopping()
    initial = initial_centres(rows(), 2, [0], Execution())
    data = TrainingData(Schedule.of(600, 100, 1), initial, lambda _seed: iter([rows()] * 6))
    with pytest.raises(Stopped):
        train(data, (2,), (0,), Execution(stopping), label="test")
    assert stopping.left == 0

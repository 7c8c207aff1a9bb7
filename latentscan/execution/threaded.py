"""Tasks on the threads of this process."""

from __future__ import annotations

import functools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from latentscan.errors import LatentscanError
from latentscan.execution.executor import (
    FAN_IN,
    Stopped,
    default_label,
    failure,
    ignore_progress,
    thread_pools,
)
from latentscan.processors import processors, threads_that_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dask.delayed import Delayed

    from latentscan.execution.executor import Work
    from latentscan.progress import Advance

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

_LEAF = "leaf-"


@dataclass(frozen=True)
class ThreadedExecutor:
    """Run tasks on threads of this process; an `Executor`.

    Parameters
    ----------
    limit
        The number of threads; one for each processor if None.
    """

    limit: int | None = None

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process."""
        return True

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        return self.limit or processors()

    def threads_per_task(self, tasks: int) -> int:
        """Return how many threads each of `tasks` concurrent tasks may use itself."""
        return max(1, self.count // tasks)

    def run_tasks(
        self,
        work: Work[T, R],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[T], object] = lambda _: None,
        report: Advance = ignore_progress,
        accelerated: bool = False,  # noqa: ARG002 (this process uses the GPUs it finds)
    ) -> list[R]:
        """Apply `work` to every item; see `Executor`.

        No task runs any more when this returns or raises: one that saves its state when it is asked to stop
        has saved it by then.
        """
        control, threads = _ThreadControl(report), threads_that_fit(self.count)

        def task(item: T) -> R:
            if control.stopped():
                raise Stopped
            return _single_threaded(lambda: work(item, control), lambda: describe(item))

        with thread_pools(len(sys.modules)).limit(limits=1), ThreadPoolExecutor(threads) as pool:
            try:
                futures = [pool.submit(task, item) for item in items]  # started in this order
                number = {future: number for number, future in enumerate(futures)}
                for future in as_completed(futures):
                    future.result()
                    on_done(items[number[future]])
                return [future.result() for future in futures]
            finally:
                control.stop.set()
                pool.shutdown(cancel_futures=True)

    def map_reduce(
        self,
        leaf: Callable[[T], P],
        combine: Callable[[P, P], P],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[], object] = lambda: None,
    ) -> P:
        """Apply `leaf` to every item and merge the partials; see `Executor`."""
        from dask.callbacks import Callback
        from dask.delayed import delayed
        from dask.threaded import get  # dask.compute would import distributed wherever it is installed

        def task(item: T) -> P:
            return _single_threaded(lambda: leaf(item), lambda: describe(item))

        def posttask(key: str, *_: object) -> None:
            if key.startswith(_LEAF):
                on_done()

        threads = threads_that_fit(self.count)
        merge = delayed(functools.partial(functools.reduce, combine), pure=False)
        root = tree_of(
            [
                delayed(task, pure=False)(item, dask_key_name=f"{_LEAF}{number}")
                for number, item in enumerate(items)
            ],
            merge,
        )
        with thread_pools(len(sys.modules)).limit(limits=1), Callback(posttask=posttask):  # type: ignore[no-untyped-call]
            return cast("P", get(root.dask, root.key, num_workers=threads))


IN_PROCESS = ThreadedExecutor()


def _single_threaded(function: Callable[[], R], name: Callable[[], str]) -> R:
    """Call a function with OpenMP limited to one thread in this thread; name its task in errors."""
    try:
        with thread_pools(len(sys.modules)).limit(limits=1, user_api="openmp"):
            return function()
    except (LatentscanError, Stopped):
        raise
    except Exception as error:
        raise failure(error, name()) from error


def tree_of(leaves: Sequence[Delayed], merge: Callable[[Sequence[Delayed]], Delayed]) -> Delayed:
    """Return the root of the tree in which each task merges `FAN_IN` neighbours of the level below.

    Parameters
    ----------
    leaves
        The tasks at the bottom, one at least.
    merge
        Makes the task that merges a few.
    """
    while len(leaves) > 1:
        leaves = [merge(leaves[start : start + FAN_IN]) for start in range(0, len(leaves), FAN_IN)]
    return leaves[0]


class _ThreadControl:
    """The `Control` that all tasks of a run share."""

    def __init__(self, report: Advance) -> None:
        self.stop = threading.Event()
        self._report = report
        self._reporting = threading.Lock()

    def stopped(self) -> bool:
        return self.stop.is_set()

    def advance(self, amount: int, /, **figures: float) -> None:
        with self._reporting:
            self._report(amount, **figures)

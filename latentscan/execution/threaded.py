"""Tasks on Dask's threads in this process."""

from __future__ import annotations

import functools
import itertools
import threading
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar, cast

from latentscan.errors import LatentscanError
from latentscan.execution.executor import FAN_IN, Stopped, default_label, failure, ignore_progress
from latentscan.processors import processors

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
    """Run tasks on `limit` threads of this process; on as many as there are processors if None."""

    limit: int | None = None

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        return self.limit or processors()

    def threads_per_task(self, tasks: int) -> int:
        """Give how many threads each of so many tasks at once may use itself."""
        return max(1, self.count // tasks)

    def run_tasks(
        self,
        work: Work[T, R],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[T], object] = lambda _: None,
        report: Advance = ignore_progress,
        accelerated: bool = False,  # noqa: ARG002 (this process uses what it finds)
    ) -> list[R]:
        """Apply `work` to every item, as `Executor` says.

        When it returns or raises, no task is at work any more: one that keeps its state when it is told to
        stop has kept it.
        """
        from dask.callbacks import Callback
        from dask.threaded import get  # dask.compute would import distributed wherever it is installed
        from threadpoolctl import threadpool_limits

        control = _Control(report)
        at_work = threading.Semaphore(len(items))
        numbers = itertools.count()  # Dask would begin with the last of the items

        def posttask(_key: str, found: tuple[int, R], *_: object) -> None:
            on_done(items[found[0]])

        def task() -> tuple[int, R]:
            with at_work:
                if control.stopped():
                    raise Stopped
                number = next(numbers)
                with threadpool_limits(1, "openmp"):  # it keeps a limit for each thread that calls it
                    try:
                        return number, work(items[number], control)
                    except (LatentscanError, Stopped):
                        raise
                    except Exception as error:
                        raise failure(error, describe(items[number])) from error

        graph = {f"task-{number}": (task,) for number in range(len(items))}
        try:
            with threadpool_limits(1), Callback(posttask=posttask):  # type: ignore[no-untyped-call]
                found = get(graph, list(graph), num_workers=self.count)
            return [result for _, result in sorted(cast("list[tuple[int, R]]", found), key=itemgetter(0))]
        finally:
            control.stop.set()
            for _ in items:
                at_work.acquire()
            for _ in items:  # one that is yet to begin finds that it is stopped
                at_work.release()

    def map_reduce(
        self,
        leaf: Callable[[T], P],
        combine: Callable[[P, P], P],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[], object] = lambda: None,
    ) -> P:
        """Apply `leaf` to every item and merge what it gives, as `Executor` says."""
        from dask.callbacks import Callback
        from dask.delayed import delayed
        from dask.threaded import get
        from threadpoolctl import threadpool_limits

        def on(item: T) -> P:
            try:
                return leaf(item)
            except LatentscanError:
                raise
            except Exception as error:
                raise failure(error, describe(item)) from error

        def posttask(key: str, *_: object) -> None:
            if key.startswith(_LEAF):
                on_done()

        merge = delayed(functools.partial(functools.reduce, combine), pure=False)
        root = tree_of(
            [
                delayed(on, pure=False)(item, dask_key_name=f"{_LEAF}{number}")
                for number, item in enumerate(items)
            ],
            merge,
        )
        with threadpool_limits(1), Callback(posttask=posttask):  # type: ignore[no-untyped-call]
            return cast("P", get(root.dask, root.key, num_workers=self.count))


IN_PROCESS = ThreadedExecutor()


def tree_of(leaves: Sequence[Delayed], merge: Callable[[Sequence[Delayed]], Delayed]) -> Delayed:
    """Draw the tree over some tasks: tasks that merge what a few neighbours give, up to a single one."""
    while len(leaves) > 1:
        leaves = [merge(leaves[start : start + FAN_IN]) for start in range(0, len(leaves), FAN_IN)]
    return leaves[0]


class _Control:
    """What ties the tasks of a run to this thread."""

    def __init__(self, report: Advance) -> None:
        self.stop = threading.Event()
        self._report = report
        self._one_at_a_time = threading.Lock()

    def stopped(self) -> bool:
        return self.stop.is_set()

    def advance(self, amount: int, /, **figures: float) -> None:
        with self._one_at_a_time:
            self._report(amount, **figures)

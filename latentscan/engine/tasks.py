"""Independent tasks on Dask's threads in this process."""

from __future__ import annotations

import itertools
import threading
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from latentscan.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_PREFIX = "task-"


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """Raised by a task that was asked to stop."""


class Work(Protocol[T_contra, R_co]):
    """A task: one item in, what is found out.

    One that takes long asks `stopped` now and then, and raises `Stopped` when it is told so: because of
    an interruption, or because another task failed.
    """

    def __call__(self, item: T_contra, stopped: Callable[[], bool], /) -> R_co:
        """Work on an item."""


def run_tasks(
    work: Work[T, R],
    items: Sequence[T],
    *,
    threads: int | None = None,
    finished: Callable[[T], object] = lambda _: None,
) -> list[R]:
    """Apply `work` to every item, several at once, and give what it gives in the order of the items.

    They are begun in that order too. The threads of NumPy, OpenMP and other libraries are held at one
    meanwhile: tasks are the parallelism. When it returns or raises, no task is at work any more: one that
    keeps its state when it is told to stop has kept it.

    Parameters
    ----------
    threads
        How many are worked on at once; as many as there are processors if None.
    finished
        Called in this thread with every item that is done.
    """
    from dask.callbacks import Callback
    from dask.threaded import get  # dask.compute would import distributed wherever it is installed
    from threadpoolctl import threadpool_limits

    stop = threading.Event()
    at_work = threading.Semaphore(len(items))
    numbers = itertools.count()  # Dask would begin with the last of the items

    def posttask(_key: str, found: tuple[int, R], *_: object) -> None:
        finished(items[found[0]])

    def task() -> tuple[int, R]:
        with at_work:
            if stop.is_set():
                raise Stopped
            number = next(numbers)
            with threadpool_limits(1, "openmp"):  # it keeps a limit for each thread that calls it
                return number, work(items[number], stop.is_set)

    graph = {f"{_PREFIX}{number}": (task,) for number in range(len(items))}
    try:
        with threadpool_limits(1), Callback(posttask=posttask):  # type: ignore[no-untyped-call]
            found = get(graph, list(graph), num_workers=threads or processors())
        return [result for _, result in sorted(cast("list[tuple[int, R]]", found), key=itemgetter(0))]
    finally:
        stop.set()
        for _ in items:
            at_work.acquire()
        for _ in items:  # one that is yet to begin finds that it is stopped
            at_work.release()

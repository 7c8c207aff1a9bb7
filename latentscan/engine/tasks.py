"""Independent tasks on Dask's threads in this process."""

from __future__ import annotations

import threading
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

    The threads of NumPy, OpenMP and other libraries are held at one meanwhile: tasks are the parallelism.

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

    def posttask(key: str, *_: object) -> None:
        finished(items[int(key.removeprefix(_PREFIX))])

    def task(number: int) -> R:
        return work(items[number], stop.is_set)

    graph = {f"{_PREFIX}{number}": (task, number) for number in range(len(items))}
    try:
        with threadpool_limits(1), Callback(posttask=posttask):  # type: ignore[no-untyped-call]
            return cast("list[R]", list(get(graph, list(graph), num_workers=threads or processors())))
    finally:
        stop.set()

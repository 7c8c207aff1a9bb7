"""What tasks are, and where they run: the threads of this process, or the workers of a cluster."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol, TypeVar

from latentscan.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadpoolctl import ThreadpoolController

    from latentscan.progress import Advance

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
P = TypeVar("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

FAN_IN = 4  # partials merged by one task


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """Raised by a task that was asked to stop."""


class Control(Protocol):
    """Connects a running task to the code that waits for it."""

    def stopped(self) -> bool:
        """Return whether the result is no longer wanted: an interruption, or another task failed."""

    def advance(self, amount: int, /, **figures: float) -> None:
        """Report `amount` more units as done, with figures worth showing."""


class Work(Protocol[T_contra, R_co]):
    """A task: one item in, its result out.

    It is a pure function of its item, which may run in another process, and again elsewhere if that process
    is lost. A long one calls ``control.stopped()`` now and then, and raises `Stopped` when that is true.
    """

    def __call__(self, item: T_contra, control: Control, /) -> R_co:
        """Return the result of an item."""


class Executor(Protocol):
    """Where tasks run; their results do not depend on it."""

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process, with all of its processors and what it has in memory."""

    @property
    def count(self) -> int:
        """How many tasks run at once."""

    def threads_per_task(self, tasks: int) -> int:
        """Return how many threads each of `tasks` concurrent tasks may use itself."""

    def run_tasks(
        self,
        work: Work[T, R],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = ...,
        on_done: Callable[[T], object] = ...,
        report: Advance = ...,
        accelerated: bool = False,
    ) -> list[R]:
        """Apply `work` to every item, several at once.

        Tasks start in the order of the items. The thread pools of NumPy, OpenMP and other libraries are
        limited to one thread meanwhile: tasks are the parallelism.

        Parameters
        ----------
        work
            The task function.
        items
            One for each task.
        describe
            Returns the name of an item for the message of an error.
        on_done
            Called in this thread with every item that is done.
        report
            Called with what tasks report through `Control.advance`.
        accelerated
            Whether tasks use a GPU, where workers have one.

        Returns
        -------
        list
            The results, in the order of the items.

        Raises
        ------
        TaskError
            If a task fails with an error that does not name its cause itself.
        ClusterError
            If the workers are lost.
        """

    def map_reduce(
        self,
        leaf: Callable[[T], P],
        combine: Callable[[P, P], P],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = ...,
        on_done: Callable[[], object] = ...,
    ) -> P:
        """Apply `leaf` to every item, and merge the partials in the order of the items.

        The shape of the tree depends on the number of items alone.

        Parameters
        ----------
        leaf
            Turns an item into a partial.
        combine
            Merges two neighbouring partials; associative.
        items
            One at least.
        describe
            Returns the name of an item for the message of an error.
        on_done
            Called in this thread once for every leaf that is done.

        Raises
        ------
        TaskError
            If a task fails with an error that does not name its cause itself.
        ClusterError
            If the workers are lost.
        """


def ignore_progress(amount: int, /, **figures: float) -> None:
    """Ignore what tasks report as done."""


def default_label(item: object) -> str:
    """Return the name of an item without a better one."""
    return f"task {item}"


def failure(error: Exception, name: str) -> TaskError:
    """Return the error of a task that failed with an exception which does not name the task.

    Parameters
    ----------
    error
        What the task raised.
    name
        Of the task.

    Examples
    --------
    >>> failure(ZeroDivisionError("division by zero"), "block 3")
    TaskError('block 3: ZeroDivisionError: division by zero')
    """
    known = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else ""
    return TaskError(f"{name}: {known or f'{type(error).__name__}: {error}'}")


@functools.lru_cache(maxsize=1)
def thread_pools(modules: int) -> ThreadpoolController:  # noqa: ARG001 (the key of the cache)
    """Return the control of the thread pools that libraries have in this process.

    Parameters
    ----------
    modules
        How many modules are imported, ``len(sys.modules)``: a search takes milliseconds, and only a new
        module can bring a new pool.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""What tasks are, and where they run: the threads of this process, or the workers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from latentscan.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """What ties a task to those who wait for it."""

    def stopped(self) -> bool:
        """Tell whether nobody waits any more: an interruption, or another task failed."""

    def advance(self, amount: int, /, **figures: float) -> None:
        """Report `amount` more units as done, with figures worth showing."""


class Work(Protocol[T_contra, R_co]):
    """A task: one item in, what is found out.

    It is a pure function of its item, which may be run in another process, and again elsewhere when that
    process is lost. One that takes long asks ``control.stopped()`` now and then, and raises `Stopped` when
    it is told so.
    """

    def __call__(self, item: T_contra, control: Control, /) -> R_co:
        """Work on an item."""


class Executor(Protocol):
    """Where tasks run; what they find does not depend on it."""

    @property
    def count(self) -> int:
        """How many tasks run at once."""

    def threads_per_task(self, tasks: int) -> int:
        """Give how many threads each of so many tasks at once may use itself."""

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
        """Apply `work` to every item, several at once, and give what it gives in the order of the items.

        They are begun in that order too. The threads of NumPy, OpenMP and other libraries are held at one
        meanwhile: tasks are the parallelism.

        Parameters
        ----------
        describe
            Names an item in the message of an error.
        on_done
            Called here with every item that is done.
        report
            Called here with what tasks say of their advance.
        accelerated
            Whether tasks use a GPU, where workers have one.

        Raises
        ------
        TaskError
            If a task fails with an error that does not say itself what it is about.
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
        """Apply `leaf` to every item, one at least, and merge what it gives with `combine`, in their order.

        The shape of the tree depends on the number of items alone. Takes the parameters, and raises what
        `run_tasks` does; `on_done` is called for every leaf that is done.
        """


def ignore_progress(amount: int, /, **figures: float) -> None:
    """Take what tasks say of their advance where nobody wants to know."""


def default_label(item: object) -> str:
    """Name an item that nobody has a better name for."""
    return f"task {item}"


def failure(error: Exception, name: str) -> TaskError:
    """Make the error of a task that failed for a reason which does not say what it is about."""
    known = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else ""
    return TaskError(f"{name}: {known or f'{type(error).__name__}: {error}'}")

"""What runs on the workers of a cluster."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from latentscan.errors import LatentscanError
from latentscan.execution.environment import environment, keep_freed_memory
from latentscan.execution.executor import Stopped, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

P = TypeVar("P")

PARCEL = "latentscan-parcel-"
TELL_EVERY_S = 0.5


@dataclass(frozen=True)
class Place:
    """Which task of which run it is, what it is called in errors, and under which topic it is told of."""

    run: str
    number: int
    name: str
    topic: str

    @property
    def key(self) -> str:
        """The task's name on the scheduler."""
        return f"latentscan-{self.run}-{self.number:09d}"


@dataclass(frozen=True, eq=False)
class Parcel:
    """What the tasks of a run have in common, pickled.

    Workers pass it on to one another as it is: what is in it need not be fit to be pickled once more.
    """

    pickled: NDArray[np.uint8]


def deliver(parcel: Parcel) -> Parcel:
    """Take in a parcel: a task whose result is all that others need."""
    return parcel


def parcel_key() -> str:
    """Give a new name for a parcel, or a copy of one, on the scheduler."""
    return f"{PARCEL}{uuid.uuid4().hex}"


_opened: WeakKeyDictionary[Parcel, Any] = WeakKeyDictionary()
_opening = threading.Lock()


def _content(parcel: Parcel) -> Any:
    """Open a parcel; what is in it stays for as long as the scheduler lets the worker keep the parcel."""
    import cloudpickle

    with _opening:
        if parcel not in _opened:
            _opened[parcel] = cloudpickle.loads(parcel.pickled.data)
        return _opened[parcel]


def call(place: Place, item: Any, parcel: Parcel) -> Any:
    """Apply the task function in a parcel to an item."""
    control = RemoteControl(place)
    control.tell()
    try:
        return _alone(lambda: _content(parcel)(item, control), place)
    finally:
        control.tell(at_work=False)


def leaf(parcel: Parcel, place: Place, item: Any) -> Any:
    """Apply the first of the two functions in a parcel: one for an item, one that combines."""
    found = _alone(lambda: _content(parcel)[0](item), place)
    control = RemoteControl(place)
    control.advance(1)
    control.tell(at_work=False)
    return found


def merge(parcel: Parcel, parts: list[Any]) -> Any:
    """Merge partials in their order, with the second."""
    return functools.reduce(_content(parcel)[1], parts)


class RemoteControl:
    """What ties a task on a worker to those who wait for it."""

    def __init__(self, place: Place) -> None:
        from distributed import get_worker

        self._place = place
        self._worker = get_worker()
        self._key = self._worker.get_current_task()
        self._amount = 0
        self._figures: dict[str, float] = {}
        self._told_at = time.monotonic()

    def stopped(self) -> bool:
        """Tell whether the scheduler has dropped this task: its client left, failed, or was interrupted."""
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state in {"cancelled", "resumed"}

    def advance(self, amount: int, /, **figures: float) -> None:
        """Report `amount` more units as done; they are told of now and then."""
        self._amount += int(amount)
        self._figures |= {name: float(figure) for name, figure in figures.items()}
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self.tell()

    def tell(self, *, at_work: bool = True) -> None:
        """Say how far this task is, in all: one that is run twice is not counted twice."""
        self._told_at = time.monotonic()
        place = self._place
        worker = self._worker.address if at_work else ""
        self._worker.log_event(
            place.topic, [place.run, place.number, worker, self._amount, dict(self._figures)]
        )


@functools.lru_cache(maxsize=1)
def _held_pools(_modules: int) -> Any:
    """Hold the thread pools of this process at one; that takes a while, and modules bring new ones."""
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController()
    pools.limit(limits=1)  # for good: tasks that run at once could not give it back in turn
    return pools


@functools.cache
def _prepare_process() -> None:
    """Say what workers that others started have not been told."""
    for name, value in environment(1).items():
        os.environ.setdefault(name, value)
    keep_freed_memory()


def _alone(function: Callable[[], P], place: Place) -> P:
    """Call a function with the threads of other libraries held at one, and name its errors."""
    _prepare_process()
    try:
        with _held_pools(len(sys.modules)).limit(limits=1, user_api="openmp"):  # it has one for each thread
            return function()
    except (LatentscanError, Stopped):
        raise
    except Exception as error:
        raise failure(error, place.name) from error

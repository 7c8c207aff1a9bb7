"""What runs in the worker processes of a cluster, and the environment they run in."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from latentscan.errors import LatentscanError
from latentscan.execution.executor import Stopped, failure, thread_pools

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

P = TypeVar("P")

PAYLOAD_KEY = "latentscan-payload-"
EVENT_EVERY_S = 0.5

_THREAD_POOLS = ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
_TRIM_VARIABLE, _TRIM_OF_NANNIES = "MALLOC_TRIM_THRESHOLD_", "65536"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_ARRAY = 32 * 2**20  # bytes; glibc's own limit of the threshold


@dataclass(frozen=True)
class TaskId:
    """Identify a task of a run.

    Parameters
    ----------
    run
        Identifies the run among all of the scheduler.
    number
        Of the task in its run, from 0.
    name
        What errors call it.
    topic
        The topic of the scheduler under which its events are logged.
    """

    run: str
    number: int
    name: str
    topic: str

    @property
    def key(self) -> str:
        """The task's key on the scheduler."""
        return f"latentscan-{self.run}-{self.number:09d}"


@dataclass(frozen=True, eq=False)
class Payload:
    """What the tasks of a run have in common, pickled.

    Workers send it to one another as bytes: its content need not survive a second pickling.
    """

    pickled: NDArray[np.uint8]


def hold(payload: Payload) -> Payload:
    """Return a payload: the task whose result every worker of a run fetches once."""
    return payload


def payload_key() -> str:
    """Return a new key for a payload, or for a copy of one, on the scheduler."""
    return f"{PAYLOAD_KEY}{uuid.uuid4().hex}"


_contents: WeakKeyDictionary[Payload, Any] = WeakKeyDictionary()
_unpickling = threading.Lock()


def _content(payload: Payload) -> Any:
    """Unpickle a payload once; the content lives as long as the worker holds the payload."""
    import cloudpickle

    with _unpickling:
        if payload not in _contents:
            _contents[payload] = cloudpickle.loads(payload.pickled.data)
        return _contents[payload]


def run_task(task: TaskId, item: Any, payload: Payload) -> Any:
    """Apply the function of a payload to an item."""
    control = WorkerControl(task)
    control.send()
    try:
        return _single_threaded(lambda: _content(payload)(item, control), task)
    finally:
        control.send(running=False)


def run_leaf(payload: Payload, task: TaskId, item: Any) -> Any:
    """Apply the first of a payload's two functions to an item."""
    partial = _single_threaded(lambda: _content(payload)[0](item), task)
    control = WorkerControl(task)
    control.advance(1)
    control.send(running=False)
    return partial


def merge(payload: Payload, partials: list[Any]) -> Any:
    """Merge partials in their order with the second of a payload's two functions."""
    return functools.reduce(_content(payload)[1], partials)


class WorkerControl:
    """The `Control` of a task on a worker: its state goes to the client as events of the scheduler."""

    def __init__(self, task: TaskId) -> None:
        from distributed import get_worker

        self._task = task
        self._worker = get_worker()
        self._key = self._worker.get_current_task()
        self._amount = 0
        self._figures: dict[str, float] = {}
        self._sent_at = time.monotonic()

    def stopped(self) -> bool:
        """Return whether the scheduler released this task: its client left, failed, or was interrupted."""
        state = self._worker.state.tasks.get(self._key)
        return state is None or state.state in {"cancelled", "resumed"}

    def advance(self, amount: int, /, **figures: float) -> None:
        """Report `amount` more units as done; an event is sent every `EVENT_EVERY_S` at most."""
        self._amount += int(amount)
        self._figures |= {name: float(figure) for name, figure in figures.items()}
        if time.monotonic() - self._sent_at > EVENT_EVERY_S:
            self.send()

    def send(self, *, running: bool = True) -> None:
        """Send the total that is done so far: a task that runs twice is not counted twice."""
        self._sent_at = time.monotonic()
        task = self._task
        worker = self._worker.address if running else ""
        self._worker.log_event(task.topic, [task.run, task.number, worker, self._amount, dict(self._figures)])


def environment(threads: int) -> dict[str, str]:
    """Return the variables that bound the thread pools of libraries, which read them when imported.

    Parameters
    ----------
    threads
        Of each pool of a worker process.
    """
    return {
        **{f"{pool}_THREADS": str(threads) for pool in _THREAD_POOLS},
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # workers that share a GPU must not take all its memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def reuse_freed_memory() -> None:
    """Make malloc reuse the memory of freed arrays, unless the user's environment says otherwise.

    Dask's nannies make glibc return it to the system at once: every array is then new memory, at the cost
    of a page fault for each 4 KiB, and work that makes many takes up to three times as long. glibc by
    itself raises its thresholds only after a first large array was freed.
    """
    if os.environ.get(_TRIM_VARIABLE, _TRIM_OF_NANNIES) == _TRIM_OF_NANNIES:
        with suppress(AttributeError, OSError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_ARRAY)
            libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_ARRAY)


@functools.lru_cache(maxsize=1)
def _limited_pools(modules: int) -> ThreadpoolController:
    """Limit the thread pools of this process to one thread; slow, so only when new modules came."""
    pools = thread_pools(modules)
    pools.limit(limits=1)  # for good: tasks that run at once could not restore it in turn
    return pools


@functools.cache
def _prepare_process() -> None:
    """Set up workers that were started by others, whose environment lacks what ours have."""
    for name, value in environment(1).items():
        os.environ.setdefault(name, value)
    reuse_freed_memory()


def _single_threaded(function: Callable[[], P], task: TaskId) -> P:
    """Call a function with the thread pools of libraries limited to one thread; name its task in errors."""
    _prepare_process()
    try:
        with _limited_pools(len(sys.modules)).limit(limits=1, user_api="openmp"):  # it has one per thread
            return function()
    except (LatentscanError, Stopped):
        raise
    except Exception as error:
        raise failure(error, task.name) from error

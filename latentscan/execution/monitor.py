"""Monitor the tasks of a run on a cluster: which are pending, which are running, how far they are."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from latentscan.execution.worker import PAYLOAD_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Future

    from latentscan.execution.worker import TaskId
    from latentscan.progress import Advance


class TaskMonitor:
    """The state of a run's tasks, as futures and the events of workers show it.

    Parameters
    ----------
    tasks
        Of one run.
    report
        Called with what tasks report as done, by the thread that calls `wait`.

    Attributes
    ----------
    number
        The number of each task, by its key.
    pending
        The futures whose results are still needed, by key.
    updates
        Futures that changed and events of workers, as they come in.
    """

    def __init__(self, tasks: Sequence[TaskId], report: Advance) -> None:
        self.tasks = tasks
        self.number: dict[object, int] = {task.key: task.number for task in tasks}
        self.updates: queue.SimpleQueue[Future[Any] | list[Any]] = queue.SimpleQueue()
        self.pending: dict[object, Future[Any]] = {}
        self._report = report
        self._amounts: dict[int, int] = {}
        self._running: dict[int, str] = {}
        if tasks:
            _monitors[tasks[0].run] = self

    def wait(self, within_s: float) -> list[Future[Any]]:
        """Return the futures that changed within some seconds, and report what workers sent meanwhile."""
        changed: list[Future[Any]] = []
        try:
            update = self.updates.get(timeout=within_s)
            while True:
                if isinstance(update, list):
                    self._apply(*update)
                else:
                    changed.append(update)
                update = self.updates.get_nowait()
        except queue.Empty:
            return changed

    def _apply(self, _run: str, number: int, worker: str, amount: int, figures: dict[str, float]) -> None:
        if worker:
            self._running[number] = worker
        else:
            self._running.pop(number, None)
        more = amount - self._amounts.get(number, 0)
        if more > 0:
            self._amounts[number] = amount
            self._report(more, **figures)

    def report_remaining(self, total: int) -> None:
        """Report what is left to a total: events may come later than the result."""
        self._report(total - sum(self._amounts.values()))

    def drain(self, within_s: float, workers: Callable[[], set[str]]) -> None:
        """Wait until no worker runs a task any more: one that saves its state has saved it then.

        Parameters
        ----------
        within_s
            How long to wait at most.
        workers
            Returns the addresses of the workers that are alive; a lost one is not waited for.
        """
        deadline = time.monotonic() + within_s
        while self._running and time.monotonic() < deadline and workers() & {*self._running.values()}:
            self.wait(0.1)

    def name(self, key: object) -> str:
        """Return the name of a task in errors."""
        if key in self.number:
            return self.tasks[self.number[key]].name
        is_payload = str(key).startswith(PAYLOAD_KEY)
        return "sending the task to the workers" if is_payload else "merging the partials of blocks"


_monitors: WeakValueDictionary[str, TaskMonitor] = WeakValueDictionary()  # by run


def on_event(event: tuple[float, Any]) -> None:
    """Pass an event of a worker to the monitor of its run; schedulers log other things, too."""
    message = event[1]
    if isinstance(message, list | tuple) and (monitor := _monitors.get(message[0])):
        monitor.updates.put(list(message))

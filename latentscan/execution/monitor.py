"""Following the tasks of a run on a cluster: which are waited for, which are at work, how far they are."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from latentscan.execution.worker import PARCEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Future

    from latentscan.execution.worker import Place
    from latentscan.progress import Advance


class Following:
    """What is heard of the tasks of a run, and which are waited for."""

    def __init__(self, places: Sequence[Place], report: Advance) -> None:
        self.places = places
        self.number: dict[object, int] = {place.key: place.number for place in places}
        self.news: queue.SimpleQueue[Future[Any] | list[Any]] = queue.SimpleQueue()
        self.waiting: dict[object, Future[Any]] = {}
        self._report = report
        self._amounts: dict[int, int] = {}
        self._at_work: dict[int, str] = {}
        if places:
            _followings[places[0].run] = self

    def heard(self, within_s: float) -> list[Future[Any]]:
        """Give the futures that are done, and report what was told meanwhile."""
        done: list[Future[Any]] = []
        try:
            news = self.news.get(timeout=within_s)
            while True:
                if isinstance(news, list):
                    self._take(*news)
                else:
                    done.append(news)
                news = self.news.get_nowait()
        except queue.Empty:
            return done

    def _take(self, _run: str, number: int, worker: str, amount: int, figures: dict[str, float]) -> None:
        if worker:
            self._at_work[number] = worker
        else:
            self._at_work.pop(number, None)
        more = amount - self._amounts.get(number, 0)
        if more > 0:
            self._amounts[number] = amount
            self._report(more, **figures)

    def told(self, amount: int) -> None:
        """Report what nobody told of: so much in all is done."""
        self._report(amount - sum(self._amounts.values()))

    def settle(self, within_s: float, workers: Callable[[], set[str]]) -> None:
        """Wait until no worker is at a task any more: one that keeps its state has kept it then."""
        deadline = time.monotonic() + within_s
        while self._at_work and time.monotonic() < deadline and workers() & {*self._at_work.values()}:
            self.heard(0.1)

    def name(self, key: object) -> str:
        """Give the name of a task in errors."""
        if key in self.number:
            return self.places[self.number[key]].name
        sent = str(key).startswith(PARCEL)
        return "sending the task to the workers" if sent else "merging what blocks gave"


_followings: WeakValueDictionary[str, Following] = WeakValueDictionary()  # by run


def hear(event: tuple[float, Any]) -> None:
    """Take up what a worker tells of any run that this process follows; schedulers tell other things too."""
    told = event[1]
    if isinstance(told, list | tuple) and (following := _followings.get(told[0])):
        following.news.put(list(told))

"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import functools
import queue
import time
import uuid
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import dask.config
import numpy as np
from dask.delayed import delayed
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from latentscan.engine import remote
from latentscan.engine.remote import Parcel, Place
from latentscan.engine.tasks import failure, plainly, unheard
from latentscan.engine.threads import tree_of
from latentscan.errors import ClusterError, LatentscanError, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from distributed import Client, Future

    from latentscan.engine.tasks import Work
    from latentscan.progress import Advance

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

PATIENCE_S = 45.0
LOOK_EVERY_S = 1.0  # at the scheduler, while tasks are waited for
ANSWER_WITHIN_S = 20.0
GPU = "GPU"
MANY_FOR_A_THREAD = 2  # tasks; the scheduler's own measure
AGAIN = "run the same command again: it goes on with what is missing"
SETTLED_WITHIN_S = 10.0
_ANNOUNCED = "latentscan"


class Cluster:
    """The workers of a Dask cluster, as `Workers`.

    Parameters
    ----------
    client
        Connected to the scheduler.
    resources
        What each worker offers, such as ``{"GPU": 1}``.
    patience_s
        How long to wait for workers where there are none.
    heartbeat
        Called about every second while tasks are waited for; what it raises drops the tasks.
    stays
        Whether the cluster outlives this process.
    """

    def __init__(
        self,
        client: Client,
        *,
        resources: Mapping[str, float] | None = None,
        patience_s: float = PATIENCE_S,
        heartbeat: Callable[[], object] = lambda: None,
        stays: bool = False,
    ) -> None:
        self.client = client
        self.resources = dict(resources or {})
        self.patience_s = patience_s
        self.heartbeat = heartbeat
        self.stays = stays
        self._sent: tuple[object, Future[Any]] | None = None
        self._looked_at = self._workers_seen_at = time.monotonic()

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        return max(1, int(self._ask()["total_threads"]))

    def inside(self, tasks: int) -> int:  # noqa: ARG002 (the processors of a worker are for its tasks)
        """Give how many threads each of so many tasks at once may use itself."""
        return 1

    def run_tasks(
        self,
        work: Work[T, R],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = plainly,
        finished: Callable[[T], object] = lambda _: None,
        report: Advance = unheard,
        accelerated: bool = False,
    ) -> list[R]:
        """Apply `work` to every item, as `Workers` says; what a lost worker did is done again elsewhere."""
        found: dict[object, R] = {}
        with self._followed(items, describe, report) as following:
            futures: list[Future[Any]] = self.client.map(
                remote.call,
                following.places,
                list(items),
                self._at_hand(self._send(work), len(items)),
                key=[place.key for place in following.places],
                pure=False,
                resources={GPU: 1} if accelerated and GPU in self.resources else None,
            )
            for key, result in self._results(futures, following):
                found[key] = result
                finished(items[following.number[key]])
        return [found[place.key] for place in following.places]

    def map_reduce(
        self,
        leaf: Callable[[T], P],
        combine: Callable[[P, P], P],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = plainly,
        finished: Callable[[], object] = lambda: None,
    ) -> P:
        """Apply `leaf` to every item and merge what it gives, as `Workers` says."""

        def report(amount: int, /, **_: float) -> None:
            for _each in range(amount):
                finished()

        with self._followed(items, describe, report) as following:
            sent = self._send((leaf, combine))
            leaves = [
                delayed(remote.leaf, pure=False)(sent, place, item, dask_key_name=place.key)
                for place, item in zip(following.places, items, strict=True)
            ]
            root = tree_of(leaves, functools.partial(delayed(remote.merge, pure=False), sent))
            ((_, result),) = self._results([self.client.compute(root)], following)
            following.told(len(items))
        return cast("P", result)

    def announce(self, name: str, value: Mapping[str, Any]) -> None:
        """Let other clients of the scheduler know of something, for as long as it runs."""
        self.client.set_metadata([_ANNOUNCED, name], dict(value))

    def announced(self) -> dict[str, dict[str, Any]]:
        """Give what clients of this scheduler have announced, by name."""
        return dict(self.client.get_metadata([_ANNOUNCED], {}))

    def _send(self, work: object) -> Future[Any]:
        """Send the workers a task function, with all that belongs to it, once for all that it is applied to.

        It is a task itself, not scattered data: the scheduler can bring it to a worker that joins late, or
        to another one when all that had it are lost.
        """
        import cloudpickle

        if self._sent is None or self._sent[0] is not work:
            self._sent = None
            name = f"latentscan-parcel-{uuid.uuid4().hex}"
            parcel = Parcel(name, np.frombuffer(cloudpickle.dumps(work), np.uint8))
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
                sent = self.client.submit(remote.deliver, parcel, key=name, pure=False)
            self._sent = work, sent
        return self._sent[1]

    def _at_hand(self, sent: Future[Any], tasks: int) -> list[Future[Any]]:
        """Give what so many tasks have in common, for each of them.

        The scheduler brings one of few tasks to where its input is, all of them to the same worker; so each
        worker first gets a copy. Where tasks are many, any worker that is idle takes the next one.
        """
        info = self._ask(workers=True)
        if tasks > MANY_FOR_A_THREAD * info["total_threads"]:
            return [sent] * tasks
        threads = [address for address, worker in info["workers"].items() for _ in range(worker["nthreads"])]
        copies = {
            address: self.client.submit(
                remote.deliver, sent, workers=[address], allow_other_workers=True, pure=False
            )
            for address in threads[:tasks]
        }
        return (
            [copies[threads[number % len(threads)]] for number in range(tasks)] if threads else [sent] * tasks
        )

    @contextmanager
    def _followed(
        self, items: Sequence[T], describe: Callable[[T], str], report: Advance
    ) -> Iterator[_Following]:
        """Follow the tasks of a run; those that are not done in the end, for whatever reason, are dropped."""
        run, topic = uuid.uuid4().hex, f"latentscan-{self.client.id}"
        places = [Place(run, number, describe(item), topic) for number, item in enumerate(items)]
        following = _Following(places, report)
        try:
            self.client.subscribe_topic(topic, following.hear)
            yield following
        except (ClosedClientError, CommClosedError, FutureCancelledError) as error:
            raise self._lost(error) from error
        finally:
            if self.client.status == "running":
                self.client.cancel(list(following.waiting.values()))
                following.settle(SETTLED_WITHIN_S, self._workers)
                self.client.unsubscribe_topic(topic)

    def _results(self, futures: Iterable[Future[Any]], following: _Following) -> Iterator[tuple[object, Any]]:
        """Give keys and results as tasks are done, which are fetched several at a time."""
        following.waiting = {future.key: future for future in futures}
        for future in following.waiting.values():
            future.add_done_callback(following.news.put)
        while following.waiting:
            done = [future for future in following.heard(LOOK_EVERY_S) if future.key in following.waiting]
            there = [future for future in done if self._is_there(future, following)]
            for future, result in zip(there, self._fetched(there, following), strict=True):
                yield future.key, result
                del following.waiting[future.key]
                future.release()
            self._look()

    def _fetched(self, futures: list[Future[Any]], following: _Following) -> list[Any]:
        """Fetch results; one that its worker takes with it is computed anew meanwhile."""
        if not futures:
            return []
        loop = cast("Any", self.client.loop).asyncio_loop
        fetching = asyncio.run_coroutine_threadsafe(self.client.gather(futures, asynchronous=True), loop)
        try:
            while not wait([fetching], LOOK_EVERY_S).done:
                self._look()
            return list(fetching.result())
        except Exception:
            for future in futures:
                self._is_there(future, following)
            raise
        finally:
            fetching.cancel()

    def _is_there(self, future: Future[Any], following: _Following) -> bool:
        """Tell whether a result is there, and wait for it again if not; raise what its task failed with."""
        if future.status == "finished":
            return True
        if future.status in {"lost", "pending"}:  # with its worker: it is computed anew
            future.add_done_callback(following.news.put)
            return False
        if future.status != "error":
            raise self._lost(future.status)
        error = future.exception()
        if isinstance(error, KilledWorker):
            raise TaskError(
                f"{following.name(error.task)}: {error.allowed_failures + 1} workers died while they were at "
                "it, and it is not tried again; was it too little memory? their logs say more"
            ) from error
        if isinstance(error, LatentscanError):
            raise error
        raise failure(error, following.name(future.key)) from error

    def _look(self) -> None:
        """Look after the scheduler and its workers, about every second."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        self.heartbeat()
        if self._ask()["n_workers"]:
            self._workers_seen_at = now
        elif now - self._workers_seen_at > self.patience_s:
            raise ClusterError(
                f"{self._address}: no workers for {self.patience_s:.0f} s; start some, and {AGAIN}"
            )

    def _ask(self, *, workers: bool = False) -> dict[str, Any]:
        """Ask the scheduler about itself, and about each of its workers."""
        try:
            return dict(self.client.scheduler_info(n_workers=-1 if workers else 0))
        except (ClosedClientError, OSError, RuntimeError) as error:
            raise self._lost(error) from error

    def _workers(self) -> set[str]:
        """Name the workers there are; none where the scheduler is lost."""
        try:
            return set(self.client.nthreads())
        except (OSError, RuntimeError, TimeoutError):
            return set()

    @property
    def _address(self) -> str:
        return getattr(self.client.scheduler, "address", "the scheduler")

    def _lost(self, reason: object) -> ClusterError:
        return ClusterError(f"{self._address}: the cluster is lost ({reason}); {AGAIN}")


class _Following:
    """What is heard of the tasks of a run, and which are waited for."""

    def __init__(self, places: Sequence[Place], report: Advance) -> None:
        self.places = places
        self.number: dict[object, int] = {place.key: place.number for place in places}
        self.news: queue.SimpleQueue[Future[Any] | list[Any]] = queue.SimpleQueue()
        self.waiting: dict[object, Future[Any]] = {}
        self._report = report
        self._amounts: dict[int, int] = {}
        self._at_work: dict[int, str] = {}

    def hear(self, event: tuple[float, Any]) -> None:
        """Take up what a worker tells."""
        if self.places and event[1][0] == self.places[0].run:
            self.news.put(event[1])

    def heard(self, within_s: float) -> list[Future[Any]]:
        """Give the futures that are done, and report what was told meanwhile."""
        done: list[Future[Any]] = []
        try:
            news = self.news.get(timeout=within_s)
            while True:
                if isinstance(news, list | tuple):
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
        return self.places[self.number[key]].name if key in self.number else "merging what blocks gave"

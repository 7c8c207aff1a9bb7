"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
import time
import uuid
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import dask.config
import numpy as np
from dask.delayed import delayed
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from latentscan.errors import ClusterError, LatentscanError, TaskError, UsageError
from latentscan.execution import worker as remote
from latentscan.execution.executor import default_label, failure, ignore_progress
from latentscan.execution.monitor import Following, hear
from latentscan.execution.threaded import tree_of
from latentscan.execution.worker import Parcel, Place, parcel_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from distributed import Client, Future

    from latentscan.execution.executor import Work
    from latentscan.progress import Advance

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

PATIENCE_S = 45.0
LOOK_EVERY_S = 1.0  # at the scheduler, while tasks are waited for
ANSWER_WITHIN_S = 30.0
SAY_EVERY_S = 10.0
GPU = "GPU"
MANY_FOR_A_THREAD = 2  # tasks; the scheduler's own measure
AGAIN = "run the same command again: it goes on with what is missing"
SETTLED_WITHIN_S = 10.0
_ANNOUNCED = "latentscan"


class DistributedExecutor:
    """The workers of a Dask cluster, as `Executor`.

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
    say
        Told now and then that there are no workers.
    """

    def __init__(
        self,
        client: Client,
        *,
        resources: Mapping[str, float] | None = None,
        patience_s: float = PATIENCE_S,
        heartbeat: Callable[[], object] = lambda: None,
        stays: bool = False,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.client = client
        self.resources = dict(resources or {})
        self.patience_s = patience_s
        self.heartbeat = heartbeat
        self.stays = stays
        self.say = say
        self._sent: tuple[weakref.ref[Any], Future[Any]] | None = None
        self._looked_at = self._workers_seen_at = self._said_at = time.monotonic()

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        return max(1, int(self.ask()["total_threads"]))

    def threads_per_task(self, tasks: int) -> int:  # noqa: ARG002 (the processors of a worker are for its tasks)
        """Give how many threads each of so many tasks at once may use itself."""
        return 1

    def run_tasks(
        self,
        work: Work[T, R],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[T], object] = lambda _: None,
        report: Advance = ignore_progress,
        accelerated: bool = False,
    ) -> list[R]:
        """Apply `work` to every item, as `Executor` says; what a lost worker did is done again elsewhere."""
        if not items:
            return []
        asked = self._accelerator() if accelerated else None
        found: dict[object, R] = {}
        with self._followed(items, describe, report) as following:
            futures: list[Future[Any]] = self.client.map(
                remote.call,
                following.places,
                list(items),
                self._at_hand(self._sent_once(work), len(items)),
                key=[place.key for place in following.places],
                pure=False,
                resources=asked,
            )
            for key, result in self._results(futures, following):
                found[key] = result
                on_done(items[following.number[key]])
        return [found[place.key] for place in following.places]

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

        def report(amount: int, /, **_: float) -> None:
            for _each in range(amount):
                on_done()

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
        self.answer(lambda: self.client.set_metadata([_ANNOUNCED, name], dict(value)))

    def announced(self) -> dict[str, dict[str, Any]]:
        """Give what clients of this scheduler have announced, by name."""
        return dict(self.answer(lambda: self.client.get_metadata([_ANNOUNCED], {})))

    def ask(self, *, workers: bool = False) -> dict[str, Any]:
        """Ask the scheduler about itself, and about each of its workers.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        info = dict(self.answer(lambda: self.client.scheduler_info(n_workers=-1 if workers else 0)))
        if not info:  # after a while without a scheduler the client closes itself
            raise self._lost("the scheduler is gone")
        return info

    def answer(self, ask: Callable[[], R]) -> R:
        """Ask the scheduler something; one that does not answer is lost, though the network may not know.

        Raises
        ------
        ClusterError
            If it is lost.
        """
        asked: concurrent.futures.Future[R] = concurrent.futures.Future()

        def wait() -> None:
            try:
                asked.set_result(ask())
            except Exception as error:  # noqa: BLE001 (raised below)
                asked.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        try:
            return asked.result(ANSWER_WITHIN_S)
        except TimeoutError:
            raise self._lost(f"no answer within {ANSWER_WITHIN_S:.0f} s") from None
        except (ClosedClientError, OSError, RuntimeError) as error:
            raise self._lost(error) from error

    def _accelerator(self) -> dict[str, float] | None:
        """Give what a task that needs a GPU asks for; nothing where workers are not said to offer any."""
        if GPU not in self.resources:
            return None
        amount = min(1, self.resources[GPU])
        workers = self.ask(workers=True)["workers"].values()
        if workers and all(worker["resources"].get(GPU, 0) < amount for worker in workers):
            raise UsageError(
                f"{self._address}: no worker offers {GPU}={amount:g}, which the profile promises: start "
                f"workers with `--resources {GPU}={amount:g}`, or drop resources from the profile"
            )
        return {GPU: amount}

    def _sent_once(self, work: Any) -> Future[Any]:
        """Send the workers a task function, once for all that it is applied to one after another."""
        if self._sent is None or self._sent[0]() is not work:
            self._sent = None
            self._sent = (weakref.ref(work, self._forget), self._send(work))
        return self._sent[1]

    def _forget(self, work: weakref.ref[Any]) -> None:
        if self._sent is not None and self._sent[0] is work:
            self._sent = None

    def _send(self, common: Any) -> Future[Any]:
        """Send the workers what tasks have in common.

        It is a task itself, not scattered data: the scheduler can bring it to a worker that joins late, or
        to another one when all that had it are lost.
        """
        import cloudpickle

        parcel = Parcel(np.frombuffer(cloudpickle.dumps(common), np.uint8))
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
            return self.client.submit(remote.deliver, parcel, key=parcel_key(), pure=False)

    def _at_hand(self, sent: Future[Any], tasks: int) -> list[Future[Any]]:
        """Give what so many tasks have in common, for each of them.

        The scheduler brings one of few tasks to where its input is, all of them to the same worker; so each
        worker first gets a copy. Where tasks are many, any worker that is idle takes the next one.
        """
        info = self.ask(workers=True)
        if tasks > MANY_FOR_A_THREAD * info["total_threads"]:
            return [sent] * tasks
        threads = [address for address, worker in info["workers"].items() for _ in range(worker["nthreads"])]
        copies = {
            address: self.client.submit(
                remote.deliver,
                sent,
                key=parcel_key(),
                workers=[address],
                allow_other_workers=True,
                pure=False,
            )
            for address in threads[:tasks]
        }
        return (
            [copies[threads[number % len(threads)]] for number in range(tasks)] if threads else [sent] * tasks
        )

    @contextmanager
    def _followed(
        self, items: Sequence[T], describe: Callable[[T], str], report: Advance
    ) -> Iterator[Following]:
        """Follow the tasks of a run; those that are not done in the end, for whatever reason, are dropped."""
        run = uuid.uuid4().hex
        topic = self.client.id  # schedulers forget what came under it, some time after the client has left
        places = [Place(run, number, describe(item), topic) for number, item in enumerate(items)]
        following = Following(places, report)
        try:
            self.client.subscribe_topic(topic, hear)
            yield following
        except ClusterError:
            following.waiting.clear()  # there is nobody to tell
            raise
        except (ClosedClientError, CommClosedError, FutureCancelledError) as error:
            raise self._lost(error) from error
        finally:
            if self.client.status == "running" and following.waiting:
                self.client.cancel(list(following.waiting.values()))
                following.settle(SETTLED_WITHIN_S, self._workers)

    def _results(self, futures: Iterable[Future[Any]], following: Following) -> Iterator[tuple[object, Any]]:
        """Give keys and results as tasks are done, which are fetched several at a time."""
        self._workers_seen_at = time.monotonic()  # nobody looked since the last run
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

    def _fetched(self, futures: list[Future[Any]], following: Following) -> list[Any]:
        """Fetch results; one that its worker takes with it is computed anew meanwhile."""
        if not futures:
            return []
        loop = cast("Any", self.client.loop).asyncio_loop
        fetching = asyncio.run_coroutine_threadsafe(self.client.gather(futures, asynchronous=True), loop)
        try:
            while not concurrent.futures.wait([fetching], LOOK_EVERY_S).done:
                self._look()
            return list(fetching.result())
        except Exception:
            for future in futures:
                self._is_there(future, following)
            raise
        finally:
            fetching.cancel()

    def _is_there(self, future: Future[Any], following: Following) -> bool:
        """Tell whether a result is there, and wait for it again if not; raise what its task failed with."""
        status = future.status
        if status == "finished":
            return True
        if status == "pending":
            future.add_done_callback(following.news.put)
            return False
        if status == "lost":  # with its worker: it is computed anew, and Dask would call back at once
            loop = cast("Any", self.client.loop)
            loop.add_callback(loop.call_later, LOOK_EVERY_S, following.news.put, future)
            return False
        if status != "error":
            raise self._lost(status)
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
        if self.ask()["n_workers"]:
            self._workers_seen_at = now
            return
        missed_s = now - self._workers_seen_at
        if missed_s > self.patience_s:
            raise ClusterError(
                f"{self._address}: no workers for {self.patience_s:.0f} s; start some, and {AGAIN}"
            )
        if missed_s > SAY_EVERY_S and now - self._said_at > SAY_EVERY_S:
            self._said_at = now
            self.say(f"no workers for {missed_s:.0f} s; waiting for some, {self.patience_s:.0f} s at most")

    def _workers(self) -> set[str]:
        """Name the workers there are; none where the scheduler is lost."""
        try:
            return set(self.ask(workers=True)["workers"])
        except ClusterError:
            return set()

    @property
    def _address(self) -> str:
        return getattr(self.client.scheduler, "address", "the scheduler")

    def _lost(self, reason: object) -> ClusterError:
        return ClusterError(f"{self._address}: the cluster is lost ({reason}); {AGAIN}")

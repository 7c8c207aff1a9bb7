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
from latentscan.execution import worker
from latentscan.execution.executor import default_label, failure, ignore_progress
from latentscan.execution.monitor import TaskMonitor, on_event
from latentscan.execution.threaded import tree_of
from latentscan.execution.worker import Payload, TaskId, payload_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from distributed import Client, Future

    from latentscan.execution.executor import Work
    from latentscan.progress import Advance

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

PATIENCE_S = 45.0
POLL_EVERY_S = 1.0  # how often the scheduler is asked for its workers while tasks are pending
REPLY_TIMEOUT_S = 30.0
NOTIFY_EVERY_S = 10.0  # how often users read that workers are waited for
DRAIN_TIMEOUT_S = 10.0
GPU = "GPU"
MANY_TASKS_PER_THREAD = 2  # the scheduler's own measure
TO_RESUME = "run the same command again: it goes on with what is missing"
_ANNOUNCED = "latentscan"


class DistributedExecutor:
    """Run tasks on the workers of a Dask cluster; an `Executor`.

    Parameters
    ----------
    client
        Connected to the scheduler.
    resources
        What each worker offers, such as ``{"GPU": 1}``.
    patience_s
        How long to wait for workers when the cluster has none, in seconds.
    heartbeat
        Called about every `POLL_EVERY_S` while tasks are pending; an exception it raises cancels them.
    stays
        Whether the cluster outlives this process.
    say
        Called with a line for the user, now and then, while the cluster has no workers.
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
        self._shared: tuple[weakref.ref[Any], Future[Any]] | None = None
        self._checked_at = self._workers_seen_at = self._notified_at = time.monotonic()

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process."""
        return False

    @property
    def count(self) -> int:
        """How many tasks run at once."""
        return max(1, int(self.scheduler_info()["total_threads"]))

    def threads_per_task(self, tasks: int) -> int:  # noqa: ARG002 (the processors of a worker are for its tasks)
        """Return how many threads each of `tasks` concurrent tasks may use itself: one."""
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
        """Apply `work` to every item; see `Executor`. Tasks of a lost worker run again on another one."""
        if not items:
            return []
        resources = self._accelerator() if accelerated else None
        found: dict[object, R] = {}
        with self._monitored(items, describe, report) as monitor:
            futures: list[Future[Any]] = self.client.map(
                worker.run_task,
                monitor.tasks,
                list(items),
                self._replicate(self._share(work), len(items)),
                key=[task.key for task in monitor.tasks],
                pure=False,
                resources=resources,
            )
            for key, result in self._results(futures, monitor):
                found[key] = result
                on_done(items[monitor.number[key]])
        return [found[task.key] for task in monitor.tasks]

    def map_reduce(
        self,
        leaf: Callable[[T], P],
        combine: Callable[[P, P], P],
        items: Sequence[T],
        *,
        describe: Callable[[T], str] = default_label,
        on_done: Callable[[], object] = lambda: None,
    ) -> P:
        """Apply `leaf` to every item and merge the partials; see `Executor`."""

        def report(amount: int, /, **_: float) -> None:
            for _each in range(amount):
                on_done()

        with self._monitored(items, describe, report) as monitor:
            payload = self._send((leaf, combine))
            leaves = [
                delayed(worker.run_leaf, pure=False)(payload, task, item, dask_key_name=task.key)
                for task, item in zip(monitor.tasks, items, strict=True)
            ]
            root = tree_of(leaves, functools.partial(delayed(worker.merge, pure=False), payload))
            ((_, result),) = self._results([self.client.compute(root)], monitor)
            monitor.report_remaining(len(items))
        return cast("P", result)

    def announce(self, name: str, value: Mapping[str, Any]) -> None:
        """Publish a value to other clients of the scheduler, for as long as it runs."""
        self.request(lambda: self.client.set_metadata([_ANNOUNCED, name], dict(value)))

    def announced(self) -> dict[str, dict[str, Any]]:
        """Return what clients of this scheduler have announced, by name."""
        return dict(self.request(lambda: self.client.get_metadata([_ANNOUNCED], {})))

    def scheduler_info(self, *, workers: bool = False) -> dict[str, Any]:
        """Return what the scheduler knows of itself, with its workers if asked.

        Parameters
        ----------
        workers
            Whether ``["workers"]`` holds an entry for each worker; it is empty otherwise.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        info = dict(self.request(lambda: self.client.scheduler_info(n_workers=-1 if workers else 0)))
        if not info:  # after a while without a scheduler the client closes itself
            raise self._lost("the scheduler is gone")
        return info

    def request(self, function: Callable[[], R]) -> R:
        """Call a function that asks the scheduler something, for `REPLY_TIMEOUT_S` at most.

        A scheduler that does not reply counts as lost, even if its connection is still open.

        Raises
        ------
        ClusterError
            If the scheduler is lost.
        """
        reply: concurrent.futures.Future[R] = concurrent.futures.Future()

        def wait() -> None:
            try:
                reply.set_result(function())
            except Exception as error:  # noqa: BLE001 (raised below)
                reply.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        try:
            return reply.result(REPLY_TIMEOUT_S)
        except TimeoutError:
            raise self._lost(f"no answer within {REPLY_TIMEOUT_S:.0f} s") from None
        except (ClosedClientError, OSError, RuntimeError) as error:
            raise self._lost(error) from error

    def _accelerator(self) -> dict[str, float] | None:
        """Return the resources of a task that needs a GPU; None where workers do not promise any."""
        if GPU not in self.resources:
            return None
        amount = min(1, self.resources[GPU])
        workers = self.scheduler_info(workers=True)["workers"].values()
        if workers and all(one["resources"].get(GPU, 0) < amount for one in workers):
            raise UsageError(
                f"{self._address}: no worker offers {GPU}={amount:g}, which the profile promises: start "
                f"workers with `--resources {GPU}={amount:g}`, or drop resources from the profile"
            )
        return {GPU: amount}

    def _share(self, work: Any) -> Future[Any]:
        """Send a task function to the workers once for all runs of it that follow one another."""
        if self._shared is None or self._shared[0]() is not work:
            self._shared = None
            self._shared = (weakref.ref(work, self._forget), self._send(work))
        return self._shared[1]

    def _forget(self, work: weakref.ref[Any]) -> None:
        if self._shared is not None and self._shared[0] is work:
            self._shared = None

    def _send(self, content: Any) -> Future[Any]:
        """Send the payload of a run to the scheduler.

        It is a task rather than scattered data: the scheduler can copy it to a worker that joins late, or
        recompute it when all workers that held it are lost.
        """
        import cloudpickle

        payload = Payload(np.frombuffer(cloudpickle.dumps(content), np.uint8))
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
            return self.client.submit(worker.hold, payload, key=payload_key(), pure=False)

    def _replicate(self, payload: Future[Any], tasks: int) -> list[Future[Any]]:
        """Replicate the payload to the workers of these tasks; return the copy that each task reads.

        The scheduler sends a task to a worker that holds its input, so a few tasks would all run on the
        same worker: each worker gets a copy first. Where tasks are many, any idle worker takes the next.
        """
        info = self.scheduler_info(workers=True)
        if tasks > MANY_TASKS_PER_THREAD * info["total_threads"]:
            return [payload] * tasks
        threads = [address for address, one in info["workers"].items() for _ in range(one["nthreads"])]
        copies = {
            address: self.client.submit(
                worker.hold,
                payload,
                key=payload_key(),
                workers=[address],
                allow_other_workers=True,
                pure=False,
            )
            for address in threads[:tasks]
        }
        if not threads:
            return [payload] * tasks
        return [copies[threads[number % len(threads)]] for number in range(tasks)]

    @contextmanager
    def _monitored(
        self, items: Sequence[T], describe: Callable[[T], str], report: Advance
    ) -> Iterator[TaskMonitor]:
        """Monitor the tasks of a run; cancel those that are still pending at the end, for whatever reason."""
        run = uuid.uuid4().hex
        topic = self.client.id  # the scheduler drops its events some time after the client has left
        tasks = [TaskId(run, number, describe(item), topic) for number, item in enumerate(items)]
        monitor = TaskMonitor(tasks, report)
        try:
            self.client.subscribe_topic(topic, on_event)
            yield monitor
        except ClusterError:
            monitor.pending.clear()  # no scheduler can cancel them
            raise
        except (ClosedClientError, CommClosedError, FutureCancelledError) as error:
            raise self._lost(error) from error
        finally:
            if self.client.status == "running" and monitor.pending:
                self.client.cancel(list(monitor.pending.values()))
                monitor.drain(DRAIN_TIMEOUT_S, self._workers)

    def _results(self, futures: Iterable[Future[Any]], monitor: TaskMonitor) -> Iterator[tuple[object, Any]]:
        """Yield keys and results as tasks finish; results that are ready together are fetched together."""
        self._workers_seen_at = time.monotonic()  # nobody checked since the last run
        monitor.pending = {future.key: future for future in futures}
        for future in monitor.pending.values():
            future.add_done_callback(monitor.updates.put)
        while monitor.pending:
            changed = [future for future in monitor.wait(POLL_EVERY_S) if future.key in monitor.pending]
            finished = [future for future in changed if self._is_finished(future, monitor)]
            for future, result in zip(finished, self._gather(finished, monitor), strict=True):
                yield future.key, result
                del monitor.pending[future.key]
                future.release()
            self._check_cluster()

    def _gather(self, futures: list[Future[Any]], monitor: TaskMonitor) -> list[Any]:
        """Fetch results; one that is lost with its worker meanwhile is recomputed."""
        if not futures:
            return []
        loop = cast("Any", self.client.loop).asyncio_loop
        fetching = asyncio.run_coroutine_threadsafe(self.client.gather(futures, asynchronous=True), loop)
        try:
            while not concurrent.futures.wait([fetching], POLL_EVERY_S).done:
                self._check_cluster()
            return list(fetching.result())
        except Exception:
            for future in futures:
                self._is_finished(future, monitor)
            raise
        finally:
            fetching.cancel()

    def _is_finished(self, future: Future[Any], monitor: TaskMonitor) -> bool:
        """Return whether a result is available; if not yet, arrange to hear of it again.

        Raises
        ------
        TaskError, LatentscanError
            If the task failed.
        ClusterError
            If it was cancelled with the cluster.
        """
        status = future.status
        if status == "finished":
            return True
        if status == "pending":
            future.add_done_callback(monitor.updates.put)
            return False
        if status == "lost":  # with its worker: it is recomputed, and Dask would call back at once
            loop = cast("Any", self.client.loop)
            loop.add_callback(loop.call_later, POLL_EVERY_S, monitor.updates.put, future)
            return False
        if status != "error":
            raise self._lost(status)
        error = future.exception()
        if isinstance(error, KilledWorker):
            raise TaskError(
                f"{monitor.name(error.task)}: {error.allowed_failures + 1} workers died that had it to "
                "run, and it is not tried again; did they run out of memory? their logs say more"
            ) from error
        if isinstance(error, LatentscanError):
            raise error
        raise failure(error, monitor.name(future.key)) from error

    def _check_cluster(self) -> None:
        """Check about every `POLL_EVERY_S` that the scheduler and a worker are alive.

        Raises
        ------
        ClusterError
            If the scheduler is lost, or no worker was seen for `patience_s`.
        """
        now = time.monotonic()
        if now - self._checked_at < POLL_EVERY_S:
            return
        self._checked_at = now
        self.heartbeat()
        if self.scheduler_info()["n_workers"]:
            self._workers_seen_at = now
            return
        missed_s = now - self._workers_seen_at
        if missed_s > self.patience_s:
            raise ClusterError(
                f"{self._address}: no workers for {self.patience_s:.0f} s; start some, and {TO_RESUME}"
            )
        if missed_s > NOTIFY_EVERY_S and now - self._notified_at > NOTIFY_EVERY_S:
            self._notified_at = now
            self.say(f"no workers for {missed_s:.0f} s; waiting for some, {self.patience_s:.0f} s at most")

    def _workers(self) -> set[str]:
        """Return the addresses of the workers that are alive; none if the scheduler is lost."""
        try:
            return set(self.scheduler_info(workers=True)["workers"])
        except ClusterError:
            return set()

    @property
    def _address(self) -> str:
        return getattr(self.client.scheduler, "address", "the scheduler")

    def _lost(self, reason: object) -> ClusterError:
        return ClusterError(f"{self._address}: the cluster is lost ({reason}); {TO_RESUME}")

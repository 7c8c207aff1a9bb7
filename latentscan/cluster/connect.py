"""Connect to the cluster that the user names, or start it, and leave nothing behind."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import current_process, resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from latentscan.cluster.backends.backend import security_of
from latentscan.cluster.backends.registry import backend_of
from latentscan.cluster.launch import (
    arguments,
    cluster_class,
    dashboard_settings,
    dask_settings,
    missing_extra,
)
from latentscan.cluster.preflight import check_safe, probe_scheduler
from latentscan.cluster.profiles import ClusterSpec, Profile, SchedulerAddress, load_profile
from latentscan.errors import ClusterError, LatentscanError, UsageError, parameter
from latentscan.execution.distributed import NOTIFY_EVERY_S, DistributedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client
    from distributed.deploy.spec import SpecCluster

T = TypeVar("T")

CLIENT_TIMEOUT_S = 10.0
POLL_FIRST_WORKER_S = 0.2
SILENT = logging.CRITICAL + 1
NOISY = ("distributed", "bokeh", "tornado", "asyncio", "asyncssh")


@contextmanager
def connect(
    *,
    scheduler: str | None,
    cluster: Path | None,
    profile: str | None,
    insecure: bool,
    say: Callable[[str], None],
    idle: bool = False,
    trust_cluster: bool = False,
) -> Iterator[DistributedExecutor]:
    """Connect to a cluster, or start one, and wait for a worker; close what was started afterwards.

    Parameters
    ----------
    scheduler
        The address of a running scheduler; the TLS files are those of `profile` then, if one is named.
    cluster
        A file of profiles, see `load_profile`.
    profile
        The name of a profile in it.
    insecure
        Whether the user vouches for a network on which traffic is not encrypted.
    say
        Called with lines for the user: where the cluster is, and what is waited for.
    idle
        Whether a cluster without workers is enough.
    trust_cluster
        Whether the user vouches for the file of profiles, which may run code then.

    Yields
    ------
    DistributedExecutor
        Runs tasks on the cluster.

    Raises
    ------
    UsageError
        If the profile is wrong, or the address is unsafe.
    UnsafeInputError
        If others can write the file of profiles, or the profile would run code.
    ClusterError
        If the cluster cannot be reached or started, or no worker joins in time.
    """
    chosen = _chosen(scheduler, cluster, profile, trust_cluster=trust_cluster)
    settings = chosen.settings
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if isinstance(settings, SchedulerAddress):
            client, expected = _connect_to(stack, settings, insecure=insecure), 0
        else:
            client, expected = _start(stack, chosen, settings, insecure=insecure, say=say)
        say(f"scheduler {address_of(client)}, dashboard {client.dashboard_link}")
        executor = DistributedExecutor(
            client,
            resources=settings.resources,
            patience_s=settings.workers_timeout,
            stays=isinstance(settings, SchedulerAddress),
            say=say,
        )
        if not idle:
            _wait_for_worker(executor, expected, chosen.where)
        yield executor


def stays(
    scheduler: str | None, cluster: Path | None, profile: str | None, *, trust_cluster: bool = False
) -> bool:
    """Return whether the cluster runs already, and outlives this process.

    Parameters
    ----------
    scheduler, cluster, profile, trust_cluster
        As of `connect`.

    Raises
    ------
    UsageError
        If the profile is wrong.
    """
    return isinstance(
        _chosen(scheduler, cluster, profile, trust_cluster=trust_cluster).settings, SchedulerAddress
    )


def _chosen(
    scheduler: str | None, cluster: Path | None, profile: str | None, *, trust_cluster: bool
) -> Profile:
    if scheduler is not None and cluster is None and profile is None:
        where = parameter("scheduler", scheduler)
        return Profile("", where, SchedulerAddress.model_construct(address=scheduler))
    return load_profile(cluster, profile, address=scheduler, trust=trust_cluster)


def address_of(client: Client) -> str:
    """Return the address of the scheduler that a client is connected to."""
    return str(client.scheduler.address if client.scheduler else "none")


def _connect_to(stack: ExitStack, settings: SchedulerAddress, *, insecure: bool) -> Client:
    from distributed.security import Security

    security = security_of(settings.security) if settings.security else Security()
    probe_scheduler(settings.address, security, insecure=insecure)
    return _client(stack, settings.address, security)


def _start(
    stack: ExitStack, profile: Profile, spec: ClusterSpec, *, insecure: bool, say: Callable[[str], None]
) -> tuple[Client, int]:
    """Start a cluster; return its client, and how many workers are expected."""
    import dask

    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself finds out, too late
        raise UsageError(
            f"{profile.where}: worker processes import the script that starts them: let it start them below "
            'if __name__ == "__main__": alone'
        )
    found = cluster_class(spec, profile.where)
    with _explained(profile.where):
        stack.enter_context(dask.config.set(dask_settings(found, spec)))
        keywords = arguments(found, profile, spec)
        stack.enter_context(dask.config.set(dashboard_settings(keywords)))
        for address in backend_of(found).addresses(spec.args, keywords):
            check_safe(address, insecure=insecure)
    say(f"starting {spec.cluster_class} ({profile.where})")
    stack.enter_context(_restored_environment())  # lost workers are restarted meanwhile
    with _explained(profile.where), _restored_environment():
        started = _uninterrupted(
            stack, lambda: _construct(found, spec.args, keywords), lambda cluster: cluster.close()
        )
        check_safe(started.scheduler_address, insecure=insecure)
        client = _client(stack, started, getattr(started, "security", None))
        return client, _scale(started, spec, keywords)


def _construct(found: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Start a cluster; close one that fails now, not noisily when the process ends."""
    from distributed.core import Status

    # the port of the dashboard was free; another command may take it before the scheduler does, which goes on
    warnings.filterwarnings("ignore", r"Port \d+ is already in use", UserWarning)
    before = set(getattr(found, "_instances", ()))
    try:
        return found(*args, **keywords)
    except Exception:
        for left in set(getattr(found, "_instances", ())) - before:
            with suppress(Exception):
                left.close(timeout=CLIENT_TIMEOUT_S)
            left.status = Status.closed
        raise


def _scale(started: Any, spec: ClusterSpec, keywords: dict[str, Any]) -> int:
    """Ask for the workers of a profile; return how many are expected."""
    from distributed.deploy.spec import SpecCluster

    expected = int(spec.scale or (spec.adapt and spec.adapt.minimum) or keywords.get("n_workers") or 0)
    if spec.scale or spec.adapt:
        started.scale(expected)
    if isinstance(started, SpecCluster):
        started.sync(_workers_requested, started)  # or nobody would learn why a request failed
    if spec.adapt is not None:
        started.adapt(minimum=spec.adapt.minimum, maximum=spec.adapt.maximum)
    return expected


async def _workers_requested(started: SpecCluster) -> None:
    """Wait until all workers are requested; raise the error of one that could not be."""
    from distributed.core import Status

    await started
    refused = [worker for worker in started.workers.values() if worker.status == Status.created]
    try:
        for worker in refused:
            await worker  # once more, since Dask dropped the reason
    finally:
        for worker in refused:
            if worker.status == Status.created:
                worker.status = Status.failed  # the cluster closes no other


def _client(stack: ExitStack, target: Any, security: Any) -> Client:
    from distributed import Client

    def begin() -> Client:
        return Client(
            target, security=security, timeout=CLIENT_TIMEOUT_S, set_as_default=False, name="latentscan"
        )

    address = getattr(target, "scheduler_address", target)
    try:
        return _uninterrupted(stack, begin, lambda client: client.close())
    except (OSError, ImportError, TimeoutError) as error:
        raise ClusterError(f"{address}: the scheduler refused the connection: {_one_line(error)}") from None


def _uninterrupted(stack: ExitStack, begin: Callable[[], T], end: Callable[[T], object]) -> T:
    """Begin something in another thread: if this one is interrupted, it is still begun, and then ended.

    Its threads and processes do not see interruptions, which a terminal sends to all of them.
    """
    with ThreadPoolExecutor(1, initializer=_block_interruptions) as thread:
        begun = thread.submit(begin)

        def undo() -> None:
            if begun.exception() is None:
                end(begun.result())

        stack.callback(undo)
        return begun.result()


def _block_interruptions() -> None:
    resource_tracker.ensure_running()  # it would reset the mask if it started later
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _wait_for_worker(cluster: DistributedExecutor, expected: int, where: str) -> None:
    patience_s = cluster.patience_s
    began = notified = time.monotonic()
    while not cluster.scheduler_info()["n_workers"]:
        now = time.monotonic()
        if now - began >= patience_s:
            raise ClusterError(
                f"{where}: no worker within {patience_s:g} s; start some (`dask worker "
                f"{address_of(cluster.client)}` does), or let the profile give them more time with "
                "workers_timeout"
            )
        if now - notified >= NOTIFY_EVERY_S:
            of = f" of {expected}" if expected > 1 else ""
            cluster.say(f"waiting for a first worker{of}: {now - began:.0f} s of {patience_s:g} s")
            notified = now
        time.sleep(POLL_FIRST_WORKER_S)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own logs from the terminal: errors contain what matters."""
    from distributed.versions import VersionMismatchWarning

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in NOISY]
    loggers = [logging.getLogger(name) for name in {*NOISY, *names}]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # `diagnostics` reports them
        try:
            for logger in loggers:
                logger.setLevel(SILENT)
            yield
        finally:
            gc.collect()  # abandoned tasks of asyncio log an error when they are collected
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _restored_environment() -> Iterator[None]:
    """Undo what nannies set in the environment of this process for their workers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Raise the errors of cluster classes as ours, with the profile that they come from."""
    try:
        yield
    except LatentscanError:
        raise
    except ImportError as error:
        raise UsageError(f"{where}: {_one_line(error)} {missing_extra(error)}".rstrip()) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {_one_line(error)}") from None
    except Exception as error:  # noqa: BLE001 (each kind of cluster raises what it likes)
        raise ClusterError(f"{where}: the cluster did not start: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__

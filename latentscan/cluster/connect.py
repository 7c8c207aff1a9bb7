"""Reaching the cluster that the user names, or starting it, and leaving nothing behind."""

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

from latentscan.cluster.backends import addresses_of, security_of
from latentscan.cluster.launch import (
    arguments,
    cluster_class,
    dashboard_settings,
    dask_settings,
    missing_extra,
)
from latentscan.cluster.preflight import check_safe, look_at
from latentscan.cluster.profiles import Existing, Profile, Started, load_profile
from latentscan.errors import ClusterError, LatentscanError, UsageError
from latentscan.execution.distributed import DistributedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client
    from distributed.deploy.spec import SpecCluster

T = TypeVar("T")

CONNECT_WITHIN_S = 10.0
TELL_EVERY_S = 10.0
LOOK_EVERY_S = 0.2
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
) -> Iterator[DistributedExecutor]:
    """Reach or start a cluster and wait for a worker; afterwards close all that was started.

    Parameters
    ----------
    scheduler
        The address of a running scheduler; the TLS files are those of `profile` then, if one is named.
    cluster, profile
        Where and what to read, see `load_profile`.
    insecure
        Whether the user vouches for a network on which traffic is not encrypted.
    say
        Told where the cluster is, and what is waited for.
    idle
        Whether a cluster without workers will do.

    Raises
    ------
    UsageError
        If the profile is wrong, or the address is unsafe.
    ClusterError
        If the cluster cannot be reached or started, or no worker comes in time.
    """
    chosen = _chosen(scheduler, cluster, profile)
    settings = chosen.settings
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if isinstance(settings, Existing):
            client, expected = _reached(stack, settings, insecure=insecure), 0
        else:
            client, expected = _started(stack, chosen, settings, insecure=insecure, say=say)
        say(f"scheduler {address_of(client)}, dashboard {client.dashboard_link}")
        found = DistributedExecutor(
            client,
            resources=settings.resources,
            patience_s=settings.workers_timeout,
            stays=isinstance(settings, Existing),
            say=say,
        )
        if not idle:
            _await_worker(found, expected, chosen.where)
        yield found


def stays(scheduler: str | None, cluster: Path | None, profile: str | None) -> bool:
    """Tell whether a cluster that is named so runs already, and goes on when this process ends.

    Raises
    ------
    UsageError
        If the profile is wrong.
    """
    return isinstance(_chosen(scheduler, cluster, profile).settings, Existing)


def _chosen(scheduler: str | None, cluster: Path | None, profile: str | None) -> Profile:
    if scheduler is not None and cluster is None and profile is None:
        return Profile("", f"--scheduler {scheduler}", Existing.model_construct(address=scheduler))
    return load_profile(cluster, profile, address=scheduler)


def address_of(client: Client) -> str:
    """Give the address of the scheduler that a client is connected to."""
    return str(client.scheduler.address if client.scheduler else "none")


def _reached(stack: ExitStack, settings: Existing, *, insecure: bool) -> Client:
    from distributed.security import Security

    security = security_of(settings.security) if settings.security else Security()
    look_at(settings.address, security, insecure=insecure)
    return _client(stack, settings.address, security)


def _started(
    stack: ExitStack, profile: Profile, settings: Started, *, insecure: bool, say: Callable[[str], None]
) -> tuple[Client, int]:
    import dask

    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself finds out, too late
        raise UsageError(
            f"{profile.where}: worker processes import the script that starts them: let it start them below "
            'if __name__ == "__main__": alone'
        )
    found = cluster_class(settings, profile.where)
    with _explained(profile.where):
        stack.enter_context(dask.config.set(dask_settings(found, settings)))
        keywords = arguments(found, profile)
        stack.enter_context(dask.config.set(dashboard_settings(keywords)))
        for address in addresses_of(found, settings.args, keywords):
            check_safe(address, insecure=insecure)
    say(f"starting {settings.cluster_class} ({profile.where})")
    stack.enter_context(_environment_kept())  # workers that are lost are started anew meanwhile
    with _explained(profile.where), _environment_kept():
        started = _whole(stack, lambda: _made(found, settings.args, keywords), lambda one: one.close())
        check_safe(started.scheduler_address, insecure=insecure)
        client = _client(stack, started, getattr(started, "security", None))
        return client, _grown(started, settings, keywords)


def _made(found: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Start a cluster; one that fails is closed now, not noisily when the process ends."""
    from distributed.core import Status

    before = set(getattr(found, "_instances", ()))
    try:
        return found(*args, **keywords)
    except Exception:
        for left in set(getattr(found, "_instances", ())) - before:
            with suppress(Exception):
                left.close(timeout=CONNECT_WITHIN_S)
            left.status = Status.closed
        raise


def _grown(started: Any, settings: Started, keywords: dict[str, Any]) -> int:
    """Ask for the workers of a profile; give how many are to come."""
    from distributed.deploy.spec import SpecCluster

    expected = int(
        settings.scale or (settings.adapt and settings.adapt.minimum) or keywords.get("n_workers") or 0
    )
    if settings.scale or settings.adapt:
        started.scale(expected)
    if isinstance(started, SpecCluster):
        started.sync(_settled, started)  # or what fails when workers are asked for goes ignore_progress
    if settings.adapt is not None:
        started.adapt(minimum=settings.adapt.minimum, maximum=settings.adapt.maximum)
    return expected


async def _settled(started: SpecCluster) -> None:
    """Wait until all workers are asked for; raise what is wrong with one that could not be."""
    from distributed.core import Status

    await started
    refused = [worker for worker in started.workers.values() if worker.status == Status.created]
    try:
        for worker in refused:
            await worker  # once more, for the reason went ignore_progress
    finally:
        for worker in refused:
            if worker.status == Status.created:
                worker.status = Status.failed  # the cluster closes no other


def _client(stack: ExitStack, target: Any, security: Any) -> Client:
    from distributed import Client

    def begin() -> Client:
        return Client(
            target, security=security, timeout=CONNECT_WITHIN_S, set_as_default=False, name="latentscan"
        )

    address = getattr(target, "scheduler_address", target)
    try:
        return _whole(stack, begin, lambda client: client.close())
    except (OSError, ImportError, TimeoutError) as error:
        raise ClusterError(
            f"{address}: the scheduler does not take the connection: {_one_line(error)}"
        ) from None


def _whole(stack: ExitStack, begin: Callable[[], T], end: Callable[[T], object]) -> T:
    """Begin something in a thread of its own: when this one is interrupted, it is begun and then ended.

    Threads and processes that come of it do not see interruptions: a terminal sends them to all.
    """
    with ThreadPoolExecutor(1, initializer=_undisturbed) as thread:
        made = thread.submit(begin)

        def undo() -> None:
            if made.exception() is None:
                end(made.result())

        stack.callback(undo)
        return made.result()


def _undisturbed() -> None:
    resource_tracker.ensure_running()  # it would take the mask away where it starts later
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _await_worker(cluster: DistributedExecutor, expected: int, where: str) -> None:
    patience_s = cluster.patience_s
    began = told = time.monotonic()
    while not cluster.scheduler_info()["n_workers"]:
        now = time.monotonic()
        if now - began >= patience_s:
            raise ClusterError(
                f"{where}: no worker within {patience_s:g} s; start some (`dask worker "
                f"{address_of(cluster.client)}` does), or let the profile give them more time with "
                "workers_timeout"
            )
        if now - told >= TELL_EVERY_S:
            of = f" of {expected}" if expected > 1 else ""
            cluster.say(f"waiting for a first worker{of}: {now - began:.0f} s of {patience_s:g} s")
            told = now
        time.sleep(LOOK_EVERY_S)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own logs from the terminal: what matters is said by the errors."""
    from distributed.versions import VersionMismatchWarning

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in NOISY]
    loggers = [logging.getLogger(name) for name in {*NOISY, *names}]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # `cluster check` tells
        try:
            for logger in loggers:
                logger.setLevel(SILENT)
            yield
        finally:
            gc.collect()  # tasks of asyncio that nobody asks for complain when they are collected
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Take back what nannies put into the environment of this process for their workers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _explained(where: str) -> Iterator[None]:
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

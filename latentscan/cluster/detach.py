"""Drivers that run on a cluster themselves, and submit tasks from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed import fire_and_forget, get_client, secede

from latentscan.execution.distributed import DistributedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable


def detach(cluster: DistributedExecutor, driver: Callable[..., object], *args: object, key: str) -> None:
    """Start ``driver(cluster, *args)`` on a cluster, where it outlives this process.

    If its worker is lost, it runs again on another one.

    Parameters
    ----------
    cluster
        Where to run it.
    driver
        Receives an executor of its own on the same cluster.
    args
        Its other arguments.
    key
        Of its task on the scheduler; a driver that has the same key already is not started twice.
    """
    settings = {"resources": cluster.resources, "patience_s": cluster.patience_s, "stays": cluster.stays}
    fire_and_forget(cluster.client.submit(_drive, driver, args, settings, key=key, pure=False))


def _drive(driver: Callable[..., object], args: tuple[Any, ...], settings: dict[str, Any]) -> None:
    """Run a driver as a task that gives its thread back, so that other tasks can use it."""
    client = get_client()
    secede()
    driver(DistributedExecutor(client, **settings), *args)

"""Drivers that run on a cluster themselves, and hand out tasks from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed import fire_and_forget, get_client, secede

from latentscan.execution.distributed import DistributedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable


def detach(cluster: DistributedExecutor, driver: Callable[..., object], *args: object, key: str) -> None:
    """Let ``driver(cluster, *args)`` run on a cluster, where it goes on when this process ends.

    Should its worker be lost, it is run again elsewhere.

    Parameters
    ----------
    key
        Its name on the scheduler; what is there already is not started twice.
    """
    settings = {"resources": cluster.resources, "patience_s": cluster.patience_s, "stays": cluster.stays}
    fire_and_forget(cluster.client.submit(_drive, driver, args, settings, key=key, pure=False))


def _drive(driver: Callable[..., object], args: tuple[Any, ...], settings: dict[str, Any]) -> None:
    """Run a driver in the place of a task, which it leaves to others."""
    client = get_client()
    secede()
    driver(DistributedExecutor(client, **settings), *args)

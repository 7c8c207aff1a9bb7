"""Sockets: no command listens where no cluster is named, and a local cluster listens on loopback alone."""

from __future__ import annotations

import os
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import numpy as np

from tests.reliability.campaign import Fault, Finding, Part, Verdict
from tests.reliability.command import DONE, run
from tests.reliability.interposer import LISTENERS
from tests.reliability.small_store import (
    OTHER,
    STORE,
    analysis_names,
    analysis_words,
    build_small_stores,
    random_points,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reliability.campaign import Bench

LOCAL = """profiles:
  here: {class: dask.distributed.LocalCluster, kwargs: {n_workers: 1, threads_per_worker: 1}}
"""
ON_CLUSTER = ("--cluster", "cluster.yaml", "--profile", "here")
PATHS = "a local socket"  # is no address that another machine reaches


def faults(bench: Bench) -> Iterator[Fault]:
    """List the commands without a cluster, and two with one."""
    for name, words in _commands().items():
        yield Fault("no cluster", name, partial(_alone, words), limit_s=120)
    for name in ("check", "stats"):
        words = (*_commands()[name], *ON_CLUSTER)
        yield Fault("local cluster", name, partial(_local, words), limit_s=120)


PART = Part(
    "sockets",
    "what listens, without a cluster and with a local one",
    faults,
    quick=4,
    full=1000,
    needs_interposer=True,
)


def _commands() -> dict[str, tuple[str, ...]]:
    return {
        "ingest": ("ingest", "--z", "z.npy", "--store", "new.zarr"),
        "check": ("check", "--store", STORE),
        "info": ("info", STORE),
        "synth": ("synth", "faces", "--images", "2", "--workers", "2"),
        **{name: (*analysis_words(name, store=STORE, other=OTHER),) for name in analysis_names()},
    }


def _begin(folder: Path) -> None:
    build_small_stores(folder, seed=0)
    np.save(folder / "z.npy", random_points(0))
    (folder / "cluster.yaml").write_text(LOCAL)


def _listeners(words: tuple[str, ...], folder: Path) -> list[str] | Finding:
    _begin(folder)
    log = folder / "listeners"
    os.environ[LISTENERS] = str(log)
    said = run(*words)
    return said.breach(DONE) or (log.read_text().splitlines() if log.exists() else [])


def _alone(words: tuple[str, ...], folder: Path) -> Finding:
    found = _listeners(words, folder)
    if isinstance(found, Finding):
        return found
    return Finding(Verdict.SILENT if found else Verdict.SURVIVED, f"listens on {found}" if found else "")


def _local(words: tuple[str, ...], folder: Path) -> Finding:
    found = _listeners(words, folder)
    if isinstance(found, Finding):
        return found
    if not found:
        return Finding(Verdict.UNEXPECTED, "nothing listens, not even a scheduler: nothing was measured")
    open_ones = sorted({one for one in found if one != PATHS and not ip_address(one).is_loopback})
    return Finding(
        Verdict.SILENT if open_ones else Verdict.SURVIVED, f"listens on {open_ones}" if open_ones else ""
    )

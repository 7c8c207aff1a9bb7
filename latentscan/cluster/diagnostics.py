"""The parts of a cluster, and whether all of them run the same software."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentscan.cluster.connect import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentscan.execution.distributed import DistributedExecutor

PACKAGES = ("python", "latentscan", "dask", "distributed", "numpy", "zarr", "keras", "tensorflow")
MUST_MATCH = frozenset({"python", "latentscan", "dask", "distributed", "numpy", "zarr"})

Versions = dict[str, str | None]


@dataclass(frozen=True)
class Worker:
    """A worker process.

    Parameters
    ----------
    address, name
        Of the worker.
    threads
        How many tasks it runs at once.
    memory_bytes
        Its limit; 0 where it has none.
    resources
        What it offers, such as ``{"GPU": 1}``.
    """

    address: str
    name: str
    threads: int
    memory_bytes: int
    resources: dict[str, float]


@dataclass(frozen=True)
class Inspection:
    """A cluster, and the versions of `PACKAGES` in its processes.

    Parameters
    ----------
    scheduler, dashboard
        Their addresses.
    tls
        Whether traffic is encrypted.
    workers
        Sorted by address.
    here, there
        The versions in this process and on the scheduler.
    on_workers
        The versions on each worker, by address.
    """

    scheduler: str
    dashboard: str
    tls: bool
    workers: tuple[Worker, ...]
    here: Versions
    there: Versions
    on_workers: dict[str, Versions]

    def unlike(self, package: str) -> bool:
        """Return whether a process of the cluster has another version of a package than this process."""
        own = _compared(package, self.here)
        return any(_compared(package, other) != own for other in (self.there, *self.on_workers.values()))

    def warnings(self) -> list[str]:
        """Return the differences that can break work or change results, each with its remedy."""
        found = []
        for package in PACKAGES:
            if package in MUST_MATCH and self.unlike(package):
                parts = {"the scheduler": self.there, **self.on_workers}
                found += _complaints(package, self.here, parts)
        return found


def inspect(cluster: DistributedExecutor) -> Inspection:
    """Return the workers of a cluster, and the versions installed everywhere; no package is imported.

    Parameters
    ----------
    cluster
        Connected.

    Raises
    ------
    ClusterError
        If the scheduler is lost.
    """
    client: Any = cluster.client
    workers = cluster.scheduler_info(workers=True)["workers"]
    versions = cluster.request(lambda: client.get_versions(packages=list(PACKAGES[1:])))
    address = address_of(client)
    return Inspection(
        scheduler=address,
        dashboard=client.dashboard_link,
        tls=address.startswith("tls://"),
        workers=tuple(
            Worker(
                at,
                str(worker["name"]),
                int(worker["nthreads"]),
                int(worker["memory_limit"] or 0),
                {**worker["resources"]},
            )
            for at, worker in sorted(workers.items())
        ),
        here=_versions(versions["client"]),
        there=_versions(versions["scheduler"]),
        on_workers={at: _versions(found) for at, found in sorted(versions["workers"].items())},
    )


def _versions(found: Mapping[str, Mapping[str, str | None]]) -> Versions:
    packages = found["packages"]
    python = ".".join((packages["python"] or "").split(".")[:3])
    return {**{package: packages.get(package) for package in PACKAGES}, "python": python}


def _compared(package: str, versions: Versions) -> str | None:
    version = versions[package]
    return ".".join(version.split(".")[:2]) if package == "python" and version else version


def _complaints(package: str, here: Versions, parts: Mapping[str, Versions]) -> list[str]:
    parts_with: dict[str | None, list[str]] = {}
    for part, versions in parts.items():
        if _compared(package, versions) != _compared(package, here):
            parts_with.setdefault(versions[package], []).append(part)
    own = here[package] or "none"
    return [
        f"{package} is not installed on {_named(where)}: install {package} {own} there"
        if version is None
        else f"{package} {version} on {_named(where)}, {own} here: install the same everywhere"
        for version, where in parts_with.items()
    ]


def _named(parts: list[str]) -> str:
    shown = ", ".join(parts[:2])
    return f"{shown} and {len(parts) - 2} more" if len(parts) > 2 else shown.replace(", ", " and ")


def summed(versions: list[Versions], package: str) -> str:
    """Return the versions of a package on several workers, with the number of each where they differ.

    Parameters
    ----------
    versions
        Of each worker.
    package
        One of `PACKAGES`.

    Examples
    --------
    >>> summed([{"numpy": "2.3"}, {"numpy": "2.4"}, {"numpy": "2.4"}], "numpy")
    '2.3 (1), 2.4 (2)'
    """
    counts = Counter(one[package] or "none" for one in versions)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{version} ({count})" for version, count in sorted(counts.items()))

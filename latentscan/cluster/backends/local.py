"""Processes on this machine: `LocalCluster`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from latentscan.cluster.backends.backend import LOOPBACK, Backend, dashboard_address, encryption
from latentscan.processors import processors

if TYPE_CHECKING:
    from latentscan.cluster.profiles import ClusterSpec, Profile


def _arguments(_class: Any, _profile: Profile, spec: ClusterSpec) -> dict[str, Any]:
    first = spec.scale or (spec.adapt.minimum if spec.adapt else processors())
    processes = spec.keywords.get("processes", True)
    keywords = {
        "n_workers": first,
        "threads_per_worker": 1,
        "processes": True,
        "host": LOOPBACK if processes else None,
        "dashboard_address": dashboard_address(),
        "silence_logs": logging.CRITICAL,
        **encryption(spec),
        **spec.keywords,
    }
    if spec.env and processes:
        keywords["env"] = {**spec.env, **keywords.get("env", {})}  # takes precedence over the shell's
    return keywords


def _forwards_to(_class: Any) -> tuple[Any, ...]:
    from distributed import Nanny, Worker

    return Nanny, Worker


LOCAL = Backend(_arguments, _forwards_to)

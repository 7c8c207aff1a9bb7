from __future__ import annotations

import socket
from contextlib import closing, suppress

from latentscan.cluster.backends.backend import (
    DASHBOARD_PORT,
    LOOPBACK,
    dashboard_address,
    encryption,
    resource_options,
    threads_of_keywords,
    worker_variables,
)
from latentscan.cluster.profiles import ClusterSpec


def spec(**settings: object) -> ClusterSpec:
    return ClusterSpec.model_validate({"class": "a.B", **settings})


def test_threads_are_those_of_the_keywords() -> None:
    assert threads_of_keywords(spec()) == 1
    assert threads_of_keywords(spec(kwargs={"threads_per_worker": 3})) == 3
    assert threads_of_keywords(spec(kwargs={"worker_options": {"nthreads": 2}})) == 2


def test_workers_offer_the_resources_of_the_profile() -> None:
    assert resource_options(spec()) == []
    assert resource_options(spec(resources={"GPU": 1, "DISK": 0.5})) == ["--resources", "GPU=1 DISK=0.5"]


def test_the_profile_takes_precedence_in_the_environment_of_workers() -> None:
    variables = worker_variables(spec(env={"OMP_NUM_THREADS": 9, "A": "b"}), threads=2)
    assert (variables["OMP_NUM_THREADS"], variables["MKL_NUM_THREADS"], variables["A"]) == ("9", "2", "b")


def test_encryption_is_what_the_profile_asks_for() -> None:
    assert encryption(spec()) == {}
    assert encryption(spec(security=True)) == {"security": True, "protocol": "tls://"}
    files = {"ca_file": "ca.pem", "cert": "c.pem", "key": "k.pem", "require_encryption": False}
    found = encryption(spec(security=files))
    assert found["security"].tls_worker_cert == "c.pem"
    assert found["security"].require_encryption is False


def test_a_dashboard_does_not_take_a_port_in_use() -> None:
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # something else uses it, which serves as well
            taken.bind((LOOPBACK, DASHBOARD_PORT))
            taken.listen()
        assert dashboard_address() == f"{LOOPBACK}:0"

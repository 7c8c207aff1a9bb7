from __future__ import annotations

from typing import Any

import pytest

from latentscan.cluster.backends.gateway import GATEWAY
from latentscan.cluster.profiles import ClusterSpec, Profile
from latentscan.errors import UsageError


def arguments(**settings: Any) -> dict[str, Any]:
    spec = ClusterSpec.model_validate({"class": "dask_gateway.GatewayCluster", **settings})
    return GATEWAY.arguments(None, Profile("g", "cluster.yaml: profile g", spec), spec)


def test_a_gateway_is_passed_what_the_profile_says() -> None:
    keywords = {"address": "https://gateway.example", "worker_memory": 4}
    assert arguments(kwargs=keywords, scale=2) == keywords


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"env": {"A": "b"}, "scale": 1}, "env: expected none"),
        ({"security": True, "scale": 1}, "security: expected none"),
        ({}, "expected scale: N or adapt"),
    ],
)
def test_what_a_gateway_does_not_support_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=f"^cluster.yaml: profile g: {why}"):
        arguments(**settings)

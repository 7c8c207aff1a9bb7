"""What `runs` is given: the kinds of the stores, the sample, and the margin of equivalence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import PointsParameters
from latentscan.analyses.tsne.parameters import MOST_POINTS
from latentscan.errors import parameter


def _listed(value: Any) -> Any:
    """Read one text as a list of it, and a mapping of kinds to patterns as a list of both."""
    if isinstance(value, Mapping):
        return [f"{kind}={pattern}" for kind, pattern in value.items()]
    return [value] if isinstance(value, str) else value


class RunsParameters(PointsParameters):
    """Which stores are runs of one kind, and when two kinds are as near as seeds."""

    kind: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="a kind and the names of its stores, such as 'vae=v*.zarr'; once for each kind. "
        "Without it, kinds are what the stores' encoders were trained as",
    )
    sample: int = Field(
        default=10_000, ge=4, le=MOST_POINTS, description="images, good in all stores, that are compared"
    )
    nearest: int = Field(
        default=10, ge=1, le=10_000, validate_default=True, description="how many nearest neighbours of each"
    )
    margin: float = Field(
        default=1.25,
        gt=1,
        le=100,
        description="kinds are as near as seeds where their distance is surely below so many times that of "
        "runs of one kind",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the sample")

    @field_validator("kind")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            kind, _, pattern = one.partition("=")
            if not kind.strip() or not pattern.strip():
                raise ValueError("expected KIND=PATTERN, such as vae=v*.zarr")
        return value

    @field_validator("nearest")
    @classmethod
    def _fewer_than_sampled(cls, value: int, info: ValidationInfo) -> int:
        images = info.data.get("sample", value + 1)
        if value >= images:
            raise ValueError(
                f"expected fewer nearest neighbours than images, got {parameter('sample', images)}"
            )
        return value

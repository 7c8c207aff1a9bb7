"""What k-means is given: which models are trained, how, and what is found of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import PointsParameters
from latentscan.analyses.kmeans.training import FEWEST_BATCHES
from latentscan.errors import parameter, shown

MOST_CLUSTERS = 65_536  # of a model
MOST_MODELS = 10_000


class CentresParameters(PointsParameters):
    """How the models are trained."""

    k: tuple[int, ...] = Field(
        default="2:80:2",
        validate_default=True,
        description="numbers of clusters: FIRST:LAST:STEP (with LAST), or a list",
    )
    seeds: int = Field(
        default=3, ge=1, le=1000, validate_default=True, description="how many models of every k"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="the first seed")
    batch_rows: int = Field(
        default=4096, ge=1, le=10_000_000, validate_default=True, description="images in a batch"
    )
    passes: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description=f"how often each image is seen; 0: for {FEWEST_BATCHES} batches at least",
    )

    @field_validator("k", mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        return spelled_out(value)

    @field_validator("k")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError("expected one number of clusters or more, each at least 1")
        if max(value) > MOST_CLUSTERS:
            raise ValueError(f"expected at most {MOST_CLUSTERS:,} clusters, got {shown(max(value))}")
        return tuple(sorted(set(value)))

    @field_validator("seeds")
    @classmethod
    def _some_models(cls, value: int, info: ValidationInfo) -> int:
        ks = info.data.get("k", ())
        if len(ks) * value > MOST_MODELS:
            raise ValueError(
                f"expected at most {MOST_MODELS:,} models, got {len(ks) * value:,}: {value:,} of each of the "
                f"{len(ks):,} numbers of {parameter('k')}"
            )
        return value

    @field_validator("batch_rows")
    @classmethod
    def _no_fewer_than_clusters(cls, value: int, info: ValidationInfo) -> int:
        largest = max(info.data.get("k", (value,)))
        if largest > value:
            raise ValueError(
                f"expected no fewer rows in a batch than the {largest} clusters of {parameter('k')}; give "
                f"{parameter('batch_rows', largest)} or more, or smaller {parameter('k')}"
            )
        return value

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


def spelled_out(value: Any) -> Any:
    """List the numbers that are meant by ``"2:80:2"``, ``"4,8"``, a range, a number, or a list of these.

    Examples
    --------
    >>> spelled_out("2:8:2,20"), spelled_out(5), spelled_out(range(2, 5))
    ([2, 4, 6, 8, '20'], [5], [2, 3, 4])
    """
    if isinstance(value, str):
        numbers: list[Any] = []
        for part in value.split(",") if value else ():
            numbers += _progression(part)
            if len(numbers) > MOST_MODELS:
                raise ValueError(f"expected at most {MOST_MODELS:,} numbers")
        return numbers
    return [n for part in value for n in spelled_out(part)] if isinstance(value, Iterable) else [value]


def _progression(text: str) -> list[Any]:
    if ":" not in text:
        return [text]  # pydantic reads it, and knows what to say of it
    try:
        first, last, *steps = [int(part) for part in text.split(":")]
        step = steps.pop() if steps else 1
    except ValueError:
        raise ValueError(f"expected FIRST:LAST:STEP, three whole numbers, got {shown(text)}") from None
    if steps or step < 1 or first > last:
        raise ValueError(f"expected FIRST:LAST:STEP, from FIRST up to LAST, got {shown(text)}")
    if last > MOST_CLUSTERS:
        raise ValueError(f"expected at most {MOST_CLUSTERS:,} clusters, got {shown(text)}")
    return list(range(first, last + 1, step))


class KMeansParameters(CentresParameters):
    """Which models are trained, and what is found of them."""

    labels: tuple[int, ...] = Field(
        default=(), description="those of k for which the cluster of each image is in the result"
    )
    reference: bool = Field(default=True, description="also the gap: inertia beside that of Gaussian data")

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_spelled_out(cls, value: Any) -> Any:
        return spelled_out(value)

    @field_validator("labels")
    @classmethod
    def _of_models(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if missing := sorted(set(value) - set(info.data.get("k", value))):
            raise ValueError(
                f"expected numbers that are in {parameter('k')}, got {', '.join(map(str, missing))}"
            )
        return tuple(sorted(set(value)))

    @property
    def training(self) -> CentresParameters:
        """The parameters that change the centres."""
        return CentresParameters(**self.model_dump(include=set(CentresParameters.model_fields)))

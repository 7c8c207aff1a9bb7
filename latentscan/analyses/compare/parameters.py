"""What a comparison is given: with the parameters of the analyses of each store."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import Parameters
from latentscan.analyses.kmeans.parameters import CentresParameters
from latentscan.analyses.stats import StatsParameters
from latentscan.analyses.tsne.parameters import MOST_POINTS, SampleParameters
from latentscan.errors import parameter

M = TypeVar("M", bound=Parameters)


class CompareParameters(StatsParameters, CentresParameters, SampleParameters):
    """What is compared; with the parameters of stats, k-means and t-SNE, whose seed and array are of all."""

    reference: bool = Field(default=True, description="also the gap: inertia beside that of Gaussian data")
    sample: int = Field(
        default=10_000,
        ge=2,
        le=MOST_POINTS,
        description="shared images whose nearest neighbours are compared",
    )
    nearest: int = Field(
        default=10, ge=1, le=10_000, validate_default=True, description="how many nearest neighbours of each"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="of the samples and embeddings, and the first one of k-means"
    )
    kmeans: bool = Field(default=True, description="compare inertia")
    tsne: bool = Field(default=True, description="compare t-SNE embeddings")

    @field_validator("nearest")
    @classmethod
    def _fewer_than_sampled(cls, value: int, info: ValidationInfo) -> int:
        images = info.data.get("sample", value + 1)
        if value >= images:
            raise ValueError(
                f"expected fewer nearest neighbours than images, got {parameter('sample', images)}"
            )
        return value

    def of(self, model: type[M]) -> M:
        """Return the parameters that are those of an analysis of each store."""
        return model(**self.model_dump(include=set(model.model_fields)))

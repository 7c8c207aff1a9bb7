"""What `shape` is given: the sample, and the Gaussian twins that it is put beside."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.analysis import PointsParameters
from latentscan.errors import parameter

MOST_SAMPLED = 20_000  # distances between all of them are measured, for every twin


class ShapeParameters(PointsParameters):
    """Which images the shape is measured on, and beside how many Gaussian samples."""

    sample: int = Field(
        default=2_000, ge=10, le=MOST_SAMPLED, description="images that are measured; all if there are fewer"
    )
    nearest: int = Field(
        default=10, ge=1, le=1_000, validate_default=True, description="nearest neighbours of an image"
    )
    twins: int = Field(
        default=10, ge=5, le=100, description="Gaussian samples of the same covariance beside the images"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the sample and of its twins")

    @field_validator("nearest")
    @classmethod
    def _fewer_than_sampled(cls, value: int, info: ValidationInfo) -> int:
        images = info.data.get("sample", value + 1)
        if value >= images:
            raise ValueError(
                f"expected fewer nearest neighbours than images, got {parameter('sample', images)}"
            )
        return value

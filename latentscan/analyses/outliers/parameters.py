"""What the search for outliers is given."""

from __future__ import annotations

from pydantic import Field

from latentscan.analyses.analysis import PointsParameters
from latentscan.analyses.outliers.chance import CHANCE

MOST_DUPLICATE = 0.01  # a share of the distance between neighbours that is near


class OutliersParameters(PointsParameters):
    """What is called near, far and alone, and how many images are listed."""

    nearest: int = Field(
        default=10, ge=1, le=1000, description="the k of the distance to the k-th nearest neighbour"
    )
    sample: int = Field(
        default=10_000,
        ge=2,
        le=1_000_000_000,
        description="images among which neighbours are looked for; all if there are fewer",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the sample, and of its Gaussian twins")
    listed: int = Field(default=20, ge=1, le=10_000, description="images in a list")
    duplicate: float = Field(
        default=0,
        ge=0,
        le=MOST_DUPLICATE,
        description="images within this share of the median distance to neighbour k are near-duplicates; "
        f"0: the largest, up to {MOST_DUPLICATE:g}, at which chance has {CHANCE:g} pairs at most",
    )

"""What the search for attributes in the latent space is given."""

from __future__ import annotations

from pydantic import Field

from latentscan.analyses.analysis import PointsParameters
from latentscan.analyses.kmeans.parameters import CentresParameters

SEEDS = 3  # models of k-means, of which the best is compared with the attributes
MOST_CLUSTERS = 10_000


class LabelsParameters(PointsParameters):
    """On which images directions are fitted and tried, and which clusters are compared with attributes."""

    fewest: int = Field(
        default=20,
        ge=4,
        le=1_000_000,
        description="leave out attributes that fewer images have, or lack, among those that are fitted on or "
        "held out",
    )
    held_out: int = Field(
        default=100_000,
        ge=10,
        le=10_000_000,
        description="images held out whose scores are looked at, at most",
    )
    clusters: int = Field(
        default=40,
        ge=0,
        le=MOST_CLUSTERS,
        description="clusters of k-means that are compared with binary attributes; 0: none",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="of the half that is held out, of k-means, of permutations"
    )

    @property
    def training(self) -> CentresParameters:
        """The parameters of the clusters."""
        return CentresParameters(
            k=(self.clusters,),
            seeds=SEEDS,
            seed=self.seed,
            batch_rows=max(4096, self.clusters),
            array=self.array,
        )

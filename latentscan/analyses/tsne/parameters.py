"""What t-SNE is given: how an embedding is made, and of which images."""

from __future__ import annotations

from pydantic import Field

from latentscan.analyses.analysis import PointsParameters

MOST_POINTS = 10**9
SEARCHED = 90  # neighbours of each point: three times the usual perplexity


class SampleParameters(PointsParameters):
    """How the embedding of a sample is made, and of what."""

    points: int = Field(
        default=20_000, ge=4, le=MOST_POINTS, description="how many images; all if there are fewer"
    )
    perplexity: float = Field(
        default=30.0, ge=1, le=MOST_POINTS / 3, description="how many neighbours count, about"
    )
    early_exaggeration: float = Field(
        default=12.0,
        ge=1,
        le=1000,
        description="attraction in the first quarter of the iterations, 250 at most",
    )
    iterations: int = Field(default=1000, ge=1, le=1_000_000, description="of the optimization")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of the sample and of the index of neighbours"
    )
    noise_floor: bool = Field(
        default=False,
        description="also make a second map of the same images, from another start, and how alike they are",
    )

    @property
    def neighbours(self) -> int:
        """How many neighbours of each point attract it."""
        return int(3 * self.perplexity)

    @property
    def searched(self) -> int:
        """How many neighbours are searched: 90, or 180, 360, ... for large perplexities.

        Embeddings of the same points so share one graph, and none depends on which others are made with it.
        """
        near = SEARCHED
        while near < self.neighbours:
            near *= 2
        return near


class TsneParameters(SampleParameters):
    """How an embedding is made, and of what."""

    start_seed: int = Field(
        default=0, ge=0, lt=2**62, description="seed of the small random part of the start of a map"
    )
    all: bool = Field(default=False, description="also embed every other image among those of the sample")

    @property
    def is_of_sample(self) -> bool:
        """Whether it is the map of a sample alone, which needs no other map."""
        return not (self.all or self.noise_floor)

"""The centres of all k-means models of a store, trained on its rows in a seeded random order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.kmeans.training import (
    FEWEST_BATCHES,
    Course,
    Schedule,
    initial_centres,
    initial_rows,
    mixed_batches,
    train,
)
from latentscan.analyses.rows import (
    Points,
    gathered_rows,
    require_measurable,
    require_points,
    sample_of,
)
from latentscan.errors import ParameterError, TooFewImagesError, parameter
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from latentscan.store.reader import LatentStore

CENTRES_VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read


class CentresParameters(BaseModel):
    """How the models are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: tuple[int, ...] = Field(
        default="2:80:2",
        validate_default=True,
        description="numbers of clusters: FIRST:LAST:STEP (with LAST), or a list",
    )
    seeds: int = Field(default=3, ge=1, description="how many models of every k")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the first seed")
    batch_rows: int = Field(default=4096, ge=1, description="images in a batch")
    passes: int = Field(
        default=0, ge=0, description=f"how often each image is seen; 0: for {FEWEST_BATCHES} batches at least"
    )
    array: Points = Field(default="z", description="the points: z, or mu")

    @field_validator("k", mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        return spelled_out(value)

    @field_validator("k")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError("expected one number of clusters or more, each at least 1")
        return tuple(sorted(set(value)))

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
        return [number for part in value.split(",") for number in _progression(part)] if value else []
    return [n for part in value for n in spelled_out(part)] if isinstance(value, Iterable) else [value]


def _progression(text: str) -> list[Any]:
    if ":" not in text:
        return [text]  # pydantic reads it, and knows what to say of it
    try:
        first, last, *steps = [int(part) for part in text.split(":")]
        step = steps.pop() if steps else 1
    except ValueError:
        raise ValueError(f"expected FIRST:LAST:STEP, three whole numbers, got {text}") from None
    if steps or step < 1 or first > last:
        raise ValueError(f"expected FIRST:LAST:STEP, from FIRST up to LAST, got {text}")
    return list(range(first, last + 1, step))


def kmeans_centres(
    store: LatentStore, parameters: CentresParameters, run: Run, digests: NDArray[np.uint8]
) -> Result:
    """Train a model for every k and seed.

    Every seed has its own order of the rows, which depends on the seed and the store's blocks. A model
    depends on its k and its seed, not on which others are trained beside it; but for more than
    `INITIAL_ROWS` / `INITIAL_ROWS_PER_CENTRE` clusters, the initial centres come from a larger sample.

    Reassignment of clusters with few rows is off in the last pass, so it is off altogether where there are
    so many rows that one pass is enough.

    Returns
    -------
    `centres` (centre, component), of one model after another, those of a k by their seeds; to which model
    each belongs is told by `centre_k` and `centre_seed` (centre); `shift` (component), about which sums
    lose no digits.

    Raises
    ------
    UsageError
        If there are fewer images than centres, or fewer in a batch.
    StoreError
        If the store is incomplete or damaged.
    """
    largest = max(parameters.k)
    if largest > parameters.batch_rows:
        raise ParameterError(
            f"fewer rows in a batch than the {largest} clusters of {parameter('k')}; give "
            f"{parameter('batch_rows', largest)} or more, or smaller {parameter('k')}",
            field="batch_rows",
            value=parameters.batch_rows,
        )
    require_points(store, parameters.array)
    compute = partial(_trained, store, parameters, run)
    return kept("kmeans-centres", CENTRES_VERSION, store, parameters, run, compute, digests=digests)


def _trained(
    store: LatentStore, parameters: CentresParameters, run: Run, digests: NDArray[np.uint8]
) -> Result:
    largest = max(parameters.k)
    # one sample serves every seed
    chosen = sample_of(store, initial_rows(largest), 0, digests, run)
    rows = chosen.drawn_from
    if largest > rows:
        raise TooFewImagesError(
            f"{store.location} has {rows:,} images that were not rejected, fewer than clusters; "
            f"give {parameter('k')} up to {rows}",
            field="k",
            value=largest,
        )
    sample = gathered_rows(store, parameters.array, chosen.images, digests, run)
    shift = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    schedule = Schedule.of(rows, parameters.batch_rows, parameters.passes)
    course = Course(
        schedule,
        initial_centres(sample - shift, largest, parameters.all_seeds, run),
        partial(_store_batches, store, parameters.array, digests, shift, schedule),
    )
    centres = train(course, parameters.k, parameters.all_seeds, run, label="train")
    models = [(k, seed) for k in parameters.k for seed in parameters.all_seeds]
    counts = [k for k, _ in models]
    flat = np.concatenate([centres[model] for model in models]) + shift.astype(np.float64)
    return Result(
        {
            "centres": Variable(("centre", "component"), flat.astype(np.float32)),
            "centre_k": Variable(("centre",), np.repeat(counts, counts)),
            "centre_seed": Variable(("centre",), np.repeat([seed for _, seed in models], counts)),
            "shift": Variable(("component",), shift),
        },
        {"images": rows, "batches": schedule.batches, "passes": schedule.passes},
    )


def _store_batches(
    store: LatentStore,
    array: Points,
    digests: NDArray[np.uint8],
    shift: NDArray[np.float32],
    schedule: Schedule,
    seed: int,
) -> Iterator[NDArray[np.float32]]:
    written = np.flatnonzero(digests.any(axis=(1, 2)))
    rng = np.random.default_rng(seed)

    def read(block: int) -> NDArray[np.float32]:
        values = store.read_block(block, (array, "status"), digests[block])
        good = np.flatnonzero(values["status"] == 0)
        rows = values[array][good]
        require_measurable(store, rows, store.schema.rows(block).start + good)
        return np.asarray(rows - shift)

    for _ in range(schedule.passes):
        yield from mixed_batches(map(read, rng.permutation(written).tolist()), schedule.batch_rows, rng)

"""Points along the direction of an attribute, for a decoder to show what changes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CachePolicy
from latentscan.analyses.cached_models import newest_result
from latentscan.analyses.inputs import OneStore
from latentscan.analyses.labels.analysis import LABELS
from latentscan.analyses.labels.known import known_of
from latentscan.analyses.labels.parameters import LabelsParameters
from latentscan.errors import ParameterError, command, shown
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.scan.snapshot import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result

FARTHEST = 3.0  # standard deviations of the scores, to either side
MEAN = -1  # in place of a row: the mean of the points


@dataclass(frozen=True)
class Walk:
    """Points along the direction of an attribute.

    Parameters
    ----------
    name
        The attribute.
    offsets
        By how many standard deviations of the scores a step is off, (step,).
    rows
        The image that each walk goes through, (walk,); `MEAN` for the mean of the points.
    points
        (walk, step, component).
    skill
        The AUC of the direction on images held out, or the correlation of a continuous attribute.
    is_binary
        Which of both.
    """

    name: str
    offsets: NDArray[np.float64]
    rows: NDArray[np.int64]
    points: NDArray[np.float32]
    skill: float
    is_binary: bool


def walk_along(
    store: LatentStore,
    name: str,
    *,
    steps: int,
    walks: int,
    seed: int,
    results: str | None,
    execution: Execution,
) -> Walk:
    """Return points that go along an attribute: through the mean of the points, and through random images.

    From column to column the score grows by equal parts, and the points change as those of images with such
    scores do on average: that is the shortest way for a Gaussian cloud (in its Mahalanobis distance), and
    goes from the mean of one class towards that of the other. Along the direction itself, on which scores are
    measured, points leave the cloud before a decoder shows much.

    Parameters
    ----------
    store
        The store; its directions are computed where no result of `labels` is cached.
    name
        The attribute.
    steps
        How many points of each walk, evenly from −`FARTHEST` to `FARTHEST`.
    walks
        How many walks: the first is through the mean.
    seed
        Of the random images.
    results
        Where results are cached; the store itself if None.
    execution
        Where tasks run.

    Raises
    ------
    ParameterError
        If the store has no such attribute, or it has no direction.
    """
    snapshot = Snapshot.of(store)
    known = [one.name for one in known_of(snapshot)[0]]
    if name not in known:
        raise ParameterError(_unknown(store, name, known), field="along", value=name)
    result = _directions(snapshot, results, execution)
    at = np.flatnonzero(result["attribute"] == name)
    if not len(at) or not result["spread"][at[0]] > 0:
        raise ParameterError(_without_direction(store, name, result), field="along", value=name)
    one = int(at[0])
    images = (
        np.sort(sample_images(snapshot, walks - 1, seed, execution).images)
        if walks > 1
        else np.array([], int)
    )
    starts = np.vstack([result["mean"], gather_rows(snapshot, result.attributes["array"], images, execution)])
    offsets = np.linspace(-FARTHEST, FARTHEST, steps)
    points = starts[:, None] + offsets[:, None] * result["step"][one]
    return Walk(
        name,
        offsets,
        np.concatenate([[MEAN], images]).astype(np.int64),
        points.astype(np.float32),
        float(result["skill"][one]),
        str(result["measure"][one]) == "binary",
    )


def _directions(snapshot: Snapshot, results: str | None, execution: Execution) -> Result:
    """Return the newest result of `labels` that is cached, or compute one."""
    found = newest_result(results or snapshot.location, LABELS.name, snapshot.content)
    if found is not None:
        return found
    request = Request(LABELS, LabelsParameters(clusters=0))
    return Cache(CachePolicy(results), execution).result(request, OneStore(snapshot))


def _unknown(store: LatentStore, name: str, known: list[str]) -> str:
    lowered = {one.lower(): one for one in known}
    near = [lowered[one] for one in get_close_matches(name.lower(), lowered, n=3)]
    if near:
        return f"{store.location} has no such attribute; did you mean {' or '.join(map(shown, near))}?"
    return f"{store.location} has no such attribute; it has {shown(', '.join(known))}"


def _without_direction(store: LatentStore, name: str, result: Result) -> str:
    reasons = [text for text in result.attributes["left_out"] if text.startswith(f"{name}: ")]
    remedy = command("labels", store=store.location, fewest=4)
    if reasons:
        return (
            f"it has no direction: {reasons[0].removeprefix(f'{name}: ')}; to fit it all the same: {remedy}"
        )
    return "it has no direction: no component varies along with it"

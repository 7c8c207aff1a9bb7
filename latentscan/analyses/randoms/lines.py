"""Lines between real points, decoded and encoded again: whether the latent space falls into fragments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.encoding.stored_encoder import load_encoder_of
from latentscan.errors import UnsafeInputError
from latentscan.kernels.fragments import GRID, fragments, misses, points_between, usual_length
from latentscan.scan.rows import choose_points, gather_rows
from latentscan.store.results import Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.inputs import StoreAndDecoder
    from latentscan.execution.context import Execution
    from latentscan.models.decoder import Decoder
    from latentscan.models.encoder import Encoder
    from latentscan.progress import Progress
    from latentscan.scan.rows import Points
    from latentscan.store.results import Result

QUESTION = "whether the space has fragments"


@dataclass(frozen=True)
class Lines:
    """What is found on lines, as variables and attributes of a result; what is not known is named."""

    variables: dict[str, Variable]
    attributes: dict[str, Any]


def follow_lines(
    inputs: StoreAndDecoder,
    decoder: Decoder,
    collapse: Result,
    images: NDArray[np.int64],
    execution: Execution,
) -> Lines:
    """Decode points on lines between the points of real images, and encode the images again.

    Parameters
    ----------
    inputs
        The store, and its encoder where it is known.
    decoder
        The decoder.
    collapse
        Which share of each component's variance is signal: its weight.
    images
        Those of the points, (image,), in a random order: two and two make a line.
    execution
        Where tasks run.

    Raises
    ------
    UsageError
        If the encoder cannot be read.
    """
    snapshot = inputs.snapshot
    if inputs.encoder is None:
        return _unknown("name the run folder, or the encoder beside the decoder")
    try:
        encoder = load_encoder_of(snapshot.store, inputs.encoder)
    except UnsafeInputError:
        return _unknown("loading the encoder could run code")
    if decoder.shape != encoder.default_preprocessing.shape:
        return _unknown(
            f"the decoder makes images of {decoder.shape}, the encoder takes "
            f"{encoder.default_preprocessing.shape}"
        )
    array = choose_points(snapshot.schema, "auto")
    ends = gather_rows(snapshot, array, images, execution)
    weights = collapse["signal_share"] if "signal_share" in collapse else np.ones(ends.shape[1])
    points, pairs = points_between(ends[::2], ends[1::2]), images.reshape(-1, 2)
    if usual_length(points, weights) == 0:
        return _unknown("most points are the same")
    found = misses(points, _there_and_back(decoder, encoder, points, array, execution.progress), weights)
    how = fragments(found)
    return Lines(
        {
            "pair": Variable(("line", "end"), pairs),
            "place": Variable(("place",), np.array(GRID)),
            "miss": Variable(("line", "place"), found),
        },
        {
            "lines": len(found),
            "line_points": array,
            "fragments": [how.share.value, how.share.low, how.share.high],
            "miss_threshold": _finite(how.threshold),
            "miss_at_ends": _finite(how.at_ends),
            "miss_in_middle": _finite(how.in_middle),
            "fragments_verdict": how.verdict,
            "missing": [],
        },
    )


def _unknown(why: str) -> Lines:
    return Lines({}, {"missing": [f"{QUESTION}: {why}"]})


def _there_and_back(
    decoder: Decoder, encoder: Encoder, points: NDArray[np.float32], array: Points, progress: Progress
) -> NDArray[np.float32]:
    """Return what the encoder makes of the images of points (line, place, component)."""
    rows = points.reshape(-1, points.shape[2])
    back = np.empty_like(rows)
    with progress.task("decode lines", len(rows), "points") as advance:
        for start in range(0, len(rows), encoder.batch_size):
            part = slice(start, min(start + encoder.batch_size, len(rows)))
            back[part] = encoder(decoder.decode_unit(rows[part]))[array]
            advance(part.stop - start)
    return back.reshape(points.shape)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

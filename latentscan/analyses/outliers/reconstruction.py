"""How badly the model makes each image again, beyond what the grey of the image costs any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.losses import Rows, compare_images
from latentscan.analyses.outliers.chance import CHANCE, Extreme
from latentscan.errors import UsageError, parameter
from latentscan.images.source import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.analyses.origins import StoreAndOrigins
    from latentscan.execution.context import Execution
    from latentscan.scan.rows import Points

    Floats = NDArray[np.float64]

QUARTILES = 1.3489795003921634  # standard deviations between the quartiles of a Gaussian


def reconstruction_excess(inputs: StoreAndOrigins, array: Points, execution: Execution) -> Floats | None:
    """Return the reconstruction loss of each image above its floor, (image,); None without model and images.

    It is NaN for an image that was rejected, or that cannot be read any more.

    Parameters
    ----------
    inputs
        The store, its model and its images, of which one block is held at a time.
    array
        The points that are decoded.
    execution
        Who hears of it.

    Raises
    ------
    ParameterError
        If the run has no decoder.
    UsageError
        If only one of model and images is named, or the decoder makes images of another shape.
    """
    if inputs.model is None and inputs.source is None:
        return None
    if inputs.model is None or inputs.source is None:
        given, other = ("images", "model") if inputs.model is None else ("model", "images")
        raise UsageError(
            f"{parameter(given)} alone says nothing of outliers: images are compared with what the model "
            f"makes of them; name {parameter(other)} too"
        )
    from latentscan.models.decoder import load_decoder

    snapshot, decoder = inputs.snapshot, load_decoder(inputs.decoder)
    excess = np.full(snapshot.schema.images, np.nan)
    total = sum(map(len, map(snapshot.schema.rows, snapshot.blocks)))
    with execution.progress.task("compare images", total, "images") as advance:
        for block in snapshot.blocks:
            read, own = snapshot.read_block(block, (array, "status")), snapshot.schema.rows(block)
            encoded = read["status"] == Status.GOOD
            images = np.arange(own.start, own.stop)[encoded]
            rows = Rows(images, {"z": read[array][encoded]})
            for part in compare_images(rows, inputs.source, decoder, inputs.loss, advance):
                compared = images[part.start : part.start + len(part.good)]
                above = part.losses["reconstruction"] - part.losses["floor"]
                excess[compared] = np.where(part.good, above, np.nan)
            advance(len(own) - len(images))
    return excess


def excess_extreme(excess: Floats) -> Extreme:
    """Return the largest of as many log-normal values as are known, with the median and quartiles of these.

    Losses of images are spread in orders of magnitude, so their logarithms are compared with a Gaussian;
    median and quartiles are those of the bulk, whatever lies far out.

    Examples
    --------
    >>> found = excess_extreme(np.exp(np.random.default_rng(0).normal(size=10_000)))
    >>> np.log([found.expected, found.limit]).round(1).tolist()
    [3.8, 4.8]
    """
    from scipy.special import ndtri

    logarithms = np.log(excess[excess > 0])
    if not len(logarithms):
        return Extreme(np.nan, np.nan)
    first, median, third = np.quantile(logarithms, (0.25, 0.5, 0.75))
    shares = np.exp(np.log(np.array([0.5, 1 - CHANCE])) / len(logarithms))
    return Extreme(*np.exp(median + (third - first) / QUARTILES * ndtri(shares)).tolist())

"""What the decoder of a store's model makes: of random z-points, and of the images that the store is of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.fitted_points import fitted_points
from latentscan.analyses.outliers.exact import nearest_among_all, nearest_to
from latentscan.encoding.stored_images import pixels_of
from latentscan.images.channels import as_pictures
from latentscan.scan.rows import choose_points, gather_rows, paths_of, sample_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.models.decoder import Decoder
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot

    Pictures = NDArray[np.uint8]

TRIED = 512  # images that are decoded to find the best and the worst of
TRIED_BYTES = 1 << 28
NEIGHBOURS_OF = 200  # real points whose nearest is looked for, to compare with


@dataclass(frozen=True)
class RandomPoints:
    """Random z-points of a store, decoded.

    Parameters
    ----------
    images
        What the decoder makes of them, (point, height, width, 1 or 3).
    nearest
        The row of the real image whose z is nearest, (point,).
    distances
        Its distance, (point,).
    usual
        The median distance of the z of a real image to the nearest other one.
    """

    images: Pictures
    nearest: NDArray[np.int64]
    distances: NDArray[np.float64]
    usual: float


@dataclass(frozen=True)
class Reconstructions:
    """Images of a store beside what the decoder makes of their points.

    Parameters
    ----------
    rows
        Their rows, the best first, (image,).
    paths
        Their paths, (image,).
    originals, images
        As the encoder saw them, and as decoded, (image, height, width, 1 or 3).
    errors
        The root mean square of the difference of pixels in 0..1, (image,).
    array
        The points that were decoded: mu or z.
    """

    rows: NDArray[np.int64]
    paths: NDArray[Any]
    originals: Pictures
    images: Pictures
    errors: NDArray[np.float64]
    array: Points


def decode_random(
    decoder: Decoder, snapshot: Snapshot, count: int, seed: int, execution: Execution
) -> RandomPoints:
    """Decode random z-points of a Gaussian with the mean and the covariance of a store's z.

    Parameters
    ----------
    decoder
        Of the model that wrote the store.
    snapshot
        The store.
    count, seed
        How many points, and their seed.
    execution
        Where tasks run.

    Raises
    ------
    UsageError
        If the decoder takes points of another length.
    """
    points = fitted_points(snapshot.store, count, seed, execution)
    images = as_pictures(decoder.decode(points), _channels(snapshot))
    found = nearest_to(snapshot, "z", points, 1, execution)
    some = sample_images(snapshot, NEIGHBOURS_OF, seed, execution).images
    among = nearest_among_all(snapshot, "z", some, 1, execution)
    return RandomPoints(
        images,
        found.images[:, 0],
        np.sqrt(found.squares[:, 0]),
        float(np.median(np.sqrt(among.squares[:, 0]))),
    )


def reconstruct(
    decoder: Decoder,
    snapshot: Snapshot,
    images: str | None,
    root: str | None,
    seed: int,
    execution: Execution,
) -> Reconstructions:
    """Decode the points of a sample of a store's images, and compare them with the images.

    Parameters
    ----------
    decoder
        Of the model that wrote the store.
    snapshot
        The store.
    images, root
        The images that it is of, and the folder that a list's paths are relative to.
    seed
        Of the sample.
    execution
        Where tasks run.

    Raises
    ------
    UsageError
        If the images are not those of the store, or the decoder makes others.
    """
    array = choose_points(snapshot.schema, "auto")
    most = max(1, min(TRIED, TRIED_BYTES // math.prod(decoder.shape)))
    rows = np.sort(sample_images(snapshot, most, seed, execution).images)
    paths = paths_of(snapshot, rows)
    found = pixels_of(snapshot.store, rows, paths, images, root)
    with execution.progress.task("decode", len(rows), "images") as advance:
        points = gather_rows(snapshot, array, rows, execution)
        made = as_pictures(decoder.decode(points), _channels(snapshot))
        advance(len(rows))
    good = [at for at, one in enumerate(found) if not isinstance(one, str) and one.shape == made.shape[1:]]
    originals = np.array([found[at] for at in good], np.uint8).reshape(-1, *made.shape[1:])
    made, rows, paths = made[good], rows[good], paths[good]
    apart = (originals.astype(np.float64) - made) / 255
    errors = np.sqrt((apart**2).mean(axis=(1, 2, 3)))
    order = np.argsort(errors, kind="stable")
    return Reconstructions(rows[order], paths[order], originals[order], made[order], errors[order], array)


def _channels(snapshot: Snapshot) -> Any:
    return (snapshot.store.attributes.get("preprocessing") or {}).get("channels", "rgb")

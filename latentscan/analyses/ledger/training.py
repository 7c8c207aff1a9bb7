"""What a training wrote of its losses, and which images it was of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.images.source import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.models.run_folder import RunRecord
    from latentscan.store.reader import LatentStore

TRAIN = 0  # of the array split


def probe_rows(record: RunRecord, store: LatentStore) -> NDArray[np.int64] | None:
    """Return the rows of the images of a training's probe in a store, (n,); None where they are not known.

    Parameters
    ----------
    record
        Of the training.
    store
        Its rows are the images of the training's source, in the same order.
    """
    source = store.attributes.get("source", {})
    if record.probe is None or record.source.get("sha256") != source.get("sha256"):
        return None
    rows = np.arange(store.schema.images)
    if record.parameters.split == "train" and store.schema.split:
        rows = rows[np.asarray(store.array("split")[:]) == TRAIN]
    rows = rows[:: record.probe.step]
    good: NDArray[np.int64] = rows[np.asarray(store.array("status")[:])[rows] == Status.GOOD]
    return good

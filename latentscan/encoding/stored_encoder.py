"""The encoder that wrote a store, loaded again as it was then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.errors import UnsafeInputError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.outputs import sources_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from latentscan.models.encoder import Encoder
    from latentscan.store.reader import LatentStore


def load_encoder_of(store: LatentStore, path: Path) -> Encoder:
    """Load the encoder of a store, with the outputs and the preprocessing that the store records.

    Parameters
    ----------
    store
        The store.
    path
        The run folder, or the model file, that wrote it.

    Raises
    ------
    UnsafeInputError
        If loading it could run code.
    UsageError
        If it cannot be read.
    """
    from latentscan.models.encoder import load_encoder  # Keras takes seconds to start

    record: Mapping[str, Any] = store.attributes["encoder"]
    if "custom_objects" in record:
        raise UnsafeInputError(f"{path}: was loaded with Python code beside it, which would have to be run")
    prepared = Preprocessing.model_validate(store.attributes.get("preprocessing") or {})
    encoder = load_encoder(path, outputs=sources_of(record.get("outputs")), layer=record.get("layer", ""))
    return encoder.with_preprocessing(prepared, override=True)

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.models.backend import keras
from latentscan.models.decoder import Decoder, load_decoder
from latentscan.models.points import normal_points

if TYPE_CHECKING:
    from pathlib import Path


def test_points_are_decoded_as_by_the_model_whatever_the_batch(vae_run: Path) -> None:
    z = normal_points(10, 3, seed=0)
    model = keras.models.load_model(vae_run / "decoder.keras")
    expected = np.rint(keras.ops.convert_to_numpy(model(z)) * 255)
    decoder = load_decoder(vae_run, batch_size=4)
    assert (decoder.name, decoder.components, decoder.size) == ("vae", 3, 32)
    images = decoder.decode(z)
    assert images.shape == (10, 32, 32, 3)
    assert images.dtype == np.uint8
    assert np.abs(images - expected).max() <= 1
    assert len(np.unique(images)) > 10
    np.testing.assert_array_equal(load_decoder(vae_run / "decoder.keras", batch_size=16).decode(z), images)
    assert decoder.decode(z[:0]).shape == (0, 32, 32, 3)


def test_points_of_another_space_are_refused(vae_run: Path) -> None:
    with pytest.raises(UsageError, match=r"decoder vae: expected z of \(n, 3\), got \(2, 4\)"):
        load_decoder(vae_run).decode(np.zeros((2, 4), np.float32))


def test_what_is_no_decoder_is_refused(tmp_path: Path, vae_run: Path) -> None:
    with pytest.raises(ParameterError, match=r"expected a decoder of \(n, components\) into"):
        load_decoder(vae_run / "encoder.keras")
    shutil.copy(vae_run / "run.json", tmp_path)
    with pytest.raises(ParameterError, match=r"has no decoder\.keras"):
        load_decoder(tmp_path)


def test_more_images_than_this_machine_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder("decoder", components=4, size=1024, batch_size=1, model=None)
    monkeypatch.setattr("latentscan.models.decoder.memory_bytes", lambda: 10**9)
    decoder.require_memory(100)
    with pytest.raises(ParameterError, match=r"count=10000: so many images of 1024 pixels take 62\.9 GB"):
        decoder.require_memory(10_000)

"""Model files, of which some can run code, and some are none."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UnsafeInputError
from latentscan.models.backend import keras
from latentscan.models.encoder import load_encoder
from latentscan.models.outputs import named_outputs
from tests.models.encoders import direct, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

layers = keras.layers


def test_h5_needs_trust(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "old.h5")
    with pytest.raises(UnsafeInputError) as caught:
        load_encoder(path)
    assert str(path) in str(caught.value)
    assert "--trust-model" in caught.value.spelled("command line")
    assert load_encoder(path, trust=True, batch_size=8)(eights)["mu"].shape == (5, 3)


def test_a_saved_model_needs_trust(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    path = tmp_path / "exported"
    model = keras.models.load_model(save(tmp_path / "mine.keras"))
    model.export(path, verbose=False)
    with pytest.raises(UnsafeInputError, match="SavedModel"):
        load_encoder(path)
    with pytest.raises(ParameterError) as unnamed:
        load_encoder(path, trust=True)
    assert "--outputs mu,logvar or logvar,mu" in unnamed.value.spelled("command line")
    encoder = load_encoder(path, outputs=named_outputs("mu,logvar"), trust=True, batch_size=8)
    assert (encoder.name, encoder.outputs, encoder.takes_images.height) == ("exported", ("mu", "logvar"), 8)
    for name, expected in zip(("mu", "logvar"), direct(tmp_path / "mine.keras", eights), strict=True):
        np.testing.assert_allclose(encoder(eights)[name], expected, rtol=1e-4, atol=1e-6)


def test_a_layer_that_holds_code_needs_trust(tmp_path: Path, eights: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "code.keras", first=layers.Lambda(lambda images: images * 2))
    with pytest.raises(UnsafeInputError, match="Lambda"):
        load_encoder(path)
    assert load_encoder(path, trust=True, batch_size=8)(eights)["mu"].shape == (5, 3)


def test_a_layer_that_holds_code_is_not_needed_behind_mu_and_logvar(
    tmp_path: Path, eights: NDArray[np.uint8]
) -> None:
    path = save(tmp_path / "code.keras", last=layers.Lambda(lambda heads: heads[0] * 2))
    found, expected = (load_encoder(path, trust=trust, batch_size=8)(eights) for trust in (False, True))
    for name in ("mu", "logvar"):
        np.testing.assert_array_equal(found[name], expected[name])


class Unknown(keras.layers.Layer):  # type: ignore[misc]
    """A custom layer that nobody registered."""

    def call(self, inputs: Any) -> Any:
        return inputs


def test_a_custom_layer_is_refused_by_its_name(tmp_path: Path) -> None:
    path = save(tmp_path / "custom.keras", first=Unknown())
    with pytest.raises(UnsafeInputError, match=r"\(Unknown\), whose code is not in the file"):
        load_encoder(path)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.keras")
    (tmp_path / "cut.keras").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "junk.keras").write_bytes(b"junk")
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "bare.keras", "w") as bare:
        bare.writestr("config.json", archive.read("config.json"))
        bare.writestr("metadata.json", archive.read("metadata.json"))
    (tmp_path / "weights.pt").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name in ("cut.keras", "junk.keras", "bare.keras", "weights.pt", "empty", "absent.keras"):
        with pytest.raises(ParameterError) as caught:
            load_encoder(tmp_path / name)
        assert (caught.value.field, caught.value.value) == ("model", tmp_path / name)
        assert {".keras", ".onnx"} & set(re.findall(r"\.\w+", caught.value.problem)), "says what to give"

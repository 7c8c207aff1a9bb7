"""What analyses can be of: stores, a model with the store that it wrote, its images, and a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import Epoch, RunFolder, RunRecord, history_bytes
from tests.builders import build_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.store.reader import LatentStore
    from tests.analyses.quick import Given

ELSEWHERE: dict[str, Any] = {"source": {"kind": "latents", "name": "made elsewhere"}}
SIZE = 16
EPOCH = Epoch(
    epoch=1,
    total_loss=0.5,
    reco_loss=0.4,
    kl=10.0,
    kl_scaled=0.1,
    max_abs_epsilon=4.0,
    max_abs_epsilon_clipped=4.0,
    max_logvar=-1.0,
    probe_reco=0.4,
    probe_kl=9.0,
    probe_radius_mean=2.0,
    probe_radius_max=3.0,
    seconds=1.5,
)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatentStore]:
    """Two stores of the same images, in blocks of other lengths; an image is rejected in each.

    Both know attributes, and the first one the partition.
    """
    folder = tmp_path_factory.mktemp("stores")
    return {
        name: build_store(
            folder / f"{name}.zarr",
            images=150,
            components=5,
            chunk_rows=rows,
            labels=("smile", "hat"),
            more_labels={"float_labels": ("age",)},
            split=name == "one",
            rejected=(bad,),
            seed=rows,
            provenance=ELSEWHERE,
        )
        for name, rows, bad in (("one", 31, 3), ("two", 47, 77))
    }


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from latentscan.synth.dataset import synthesize

    folder = tmp_path_factory.mktemp("faces")
    synthesize(folder, 12, workers=1)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, with an encoder and a decoder that are as the seed made them."""
    from latentscan.models.networks import build_decoder, build_encoder

    folder = RunFolder(tmp_path_factory.mktemp("run"))
    parameters = TrainParameters(kind="vae", z_dim=5, filters=(4,))
    folder.write_record(
        RunRecord(
            parameters=parameters,
            preprocessing=Preprocessing(size=SIZE),
            source={},
            versions={},
            starts=(),
        )
    )
    folder.history.write_bytes(history_bytes([EPOCH]))
    build_encoder(parameters, SIZE).save(folder.encoder)
    build_decoder(parameters, SIZE).save(folder.decoder)
    return folder.path


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory, faces: Path, run_folder: Path) -> LatentStore:
    """The latents of the faces, by the encoder of the run."""
    from latentscan.encoding.encode import encode_images
    from latentscan.encoding.parameters import EncodeParameters
    from latentscan.store.reader import open_store

    location = str(tmp_path_factory.mktemp("encoded") / "z.zarr")
    encode_images(str(run_folder), str(faces), location, EncodeParameters(chunk_rows=5))
    return open_store(location)


@pytest.fixture(scope="session")
def given(request: pytest.FixtureRequest, stores: dict[str, LatentStore]) -> Callable[[Any], Given]:
    """What is named to ask for an analysis, by the arguments of its inputs."""

    def found(inputs: Any) -> Given:
        names = {argument.name for argument in inputs.arguments}
        fixtures = {"model": "run_folder", "run": "run_folder", "images": "faces"}
        named: Given = {name: request.getfixturevalue(fixtures[name]) for name in names & fixtures.keys()}
        if "stores" in names:
            named["stores"] = stores
        if "store" in names:
            is_encoded = names & {"model", "images"}
            named["store"] = request.getfixturevalue("encoded") if is_encoded else stores["one"]
        return named

    return found

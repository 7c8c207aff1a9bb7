"""What encoding would cost, known without loading the model."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.encoding.cost import TOGETHER, PlannedEncoding, store_begun
from latentscan.encoding.encode import encode_images
from latentscan.encoding.parameters import Encode
from latentscan.errors import ParameterError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.backend import versions
from latentscan.models.encoder import load_encoder
from latentscan.models.networks import build_encoder
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import RunFolder, RunRecord
from latentscan.store.reader import open_store

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 32


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as a training leaves it, but for the training."""
    parameters = TrainParameters(kind="vae", z_dim=5, filters=(4, 8))
    preprocessing = Preprocessing(size=SIZE)
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    build_encoder(parameters, SIZE).save(folder.encoder)
    record = RunRecord(
        parameters=parameters, preprocessing=preprocessing, source={}, versions=versions(), starts=()
    )
    folder.write_record(record)
    return folder.path


def planned(model: Path, images: Path, chunk_rows: int = 40) -> PlannedEncoding:
    return PlannedEncoding(Encode(images=str(images), model=(str(model),), chunk_rows=chunk_rows), str(model))


def test_a_plan_takes_the_encoders_batch_size() -> None:
    assert inspect.signature(load_encoder).parameters["batch_size"].default == TOGETHER


def test_the_schema_is_that_of_the_store_that_is_written(run: Path, faces: Path, tmp_path: Path) -> None:
    plan = planned(run, faces)
    assert not store_begun(str(tmp_path / "z.zarr"))
    encode_images(str(run), str(faces), str(tmp_path / "z.zarr"), plan.asked.parameters)
    assert store_begun(str(tmp_path / "z.zarr"))
    assert plan.schema() == open_store(str(tmp_path / "z.zarr")).schema


def test_what_is_missing_is_what_costs(run: Path, faces: Path) -> None:
    plan = planned(run, faces)
    schema = plan.schema()
    assert schema is not None
    whole, half, nothing = (plan.cost(schema, missing) for missing in (None, 2, 0))
    assert whole is not None
    assert half is not None
    assert nothing is not None
    assert whole.tasks - half.tasks == schema.blocks - 2
    assert half.tasks - nothing.tasks == 2
    files = sum(file.stat().st_size for file in (faces / "img_align_celeba").iterdir())
    assert whole.bytes_read - nothing.bytes_read == pytest.approx(files, rel=0.01)
    assert whole.bytes_read > half.bytes_read > nothing.bytes_read


def test_a_task_holds_its_block_and_the_batches_that_are_decoded_ahead(run: Path, faces: Path) -> None:
    plan = planned(run, faces, chunk_rows=150)
    cost = plan.cost(plan.schema(), None)
    assert cost is not None
    assert cost.task_bytes > 2 * 150 * 3 * 5 * 4 + 150 * 4 * 3 * SIZE**2


def test_of_a_users_model_nothing_is_known_before_it_is_loaded(model: Path, faces: Path) -> None:
    plan = planned(model, faces)
    assert plan.schema() is None
    assert plan.cost(None, None) is None


def test_only_a_users_model_can_tell_which_channels_it_takes(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.zeros((3, 8, 8, 5), np.float32))
    plan = planned(model, tmp_path / "pixels.npy")
    assert plan.schema() is None
    asked = plan.asked.model_validate({**plan.asked.model_dump(exclude_unset=True), "channels": 4})
    with pytest.raises(ParameterError, match="have 5 channels"):
        PlannedEncoding(asked, plan.model).schema()


def test_a_model_that_does_not_exist_is_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as refused:
        planned(tmp_path / "nowhere", faces).schema()
    assert refused.value.field == "model"

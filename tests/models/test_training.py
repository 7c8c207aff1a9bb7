from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image

import latentscan as ls
from latentscan.errors import LatentscanError, UsageError
from latentscan.images.open import open_images
from latentscan.models.backend import keras, versions
from latentscan.models.training import train
from tests.models.conftest import smooth_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.parameters import TrainParameters
    from latentscan.progress import Advance


class RecordingProgress:
    """Remembers every event; interrupts like Ctrl-C once `interrupt_at` tasks have begun."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.tasks: list[tuple[str, int, str]] = []
        self.done = 0
        self.figures: list[dict[str, float]] = []
        self._interrupt_at = interrupt_at

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.tasks.append((label, total, unit))

        def advance(amount: int, /, **figures: float) -> None:
            self.done += amount
            self.figures.append(figures)
            if len(self.tasks) == self._interrupt_at:
                raise KeyboardInterrupt

        yield advance


def read_history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tree(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def test_a_run_holds_all_its_files(vae_run: Path) -> None:
    assert tree(vae_run) == {
        "run.json",
        "history.csv",
        "encoder.keras",
        "decoder.keras",
        *(f"checkpoints/epoch-{epoch:04d}.weights.h5" for epoch in (1, 2, 3)),
    }


def test_history_has_a_row_of_figures_per_epoch(vae_run: Path) -> None:
    rows = read_history(vae_run)
    assert list(rows[0]) == [
        "epoch",
        "total_loss",
        "reco_loss",
        "kl",
        "kl_scaled",
        "max_abs_epsilon",
        "max_abs_epsilon_clipped",
        "max_logvar",
        "probe_reco",
        "probe_kl",
        "probe_radius_mean",
        "probe_radius_max",
        "seconds",
    ]
    values = [{name: float(text) for name, text in row.items()} for row in rows]
    assert [row["epoch"] for row in values] == [1, 2, 3]
    for row in values:
        assert row["total_loss"] == pytest.approx(row["reco_loss"] + row["kl_scaled"])
        assert row["kl_scaled"] == pytest.approx(1e-5 * row["kl"])
        assert 0 < row["probe_radius_mean"] <= row["probe_radius_max"]
        assert 1 < row["max_abs_epsilon"] < 6
        assert row["max_abs_epsilon_clipped"] == min(row["max_abs_epsilon"], 5)
    assert values[2]["reco_loss"] < values[0]["reco_loss"] - 1


def test_probe_radius_is_that_of_mu_of_the_saved_encoder(vae_run: Path, source: Any) -> None:
    encoder = keras.models.load_model(vae_run / "encoder.keras")
    mu = keras.ops.convert_to_numpy(encoder(source.values / np.float32(255))[0])
    radius = np.linalg.norm(mu, axis=1)
    last = read_history(vae_run)[-1]
    assert float(last["probe_radius_mean"]) == pytest.approx(radius.mean(), rel=1e-5)
    assert float(last["probe_radius_max"]) == pytest.approx(radius.max(), rel=1e-5)


def test_probe_losses_are_those_of_a_store_of_the_same_images(
    tmp_path: Path, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    """KL of the store's mu and logvar by `stats`, the reconstruction by the saved decoder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for row, pixels in enumerate(smooth_images(40)):
        Image.fromarray(pixels).save(folder / f"{row:02d}.png")
    kept = tiny_vae.model_copy(update={"epochs": 2, "batch_norm": True, "fact": 5.0})
    made = train(open_images(folder, small), tmp_path / "run", kept, small)
    store = str(tmp_path / "z.zarr")
    ls.encode(tmp_path / "run", folder, store, chunk_rows=16, progress=False)
    last = made.history[-1]
    assert last.probe_kl is not None
    assert last.probe_kl == pytest.approx(
        float(ls.stats(ls.open(store), progress=False)["kl"].sum()), rel=1e-5
    )
    assert last.kl != pytest.approx(last.probe_kl, rel=1e-3), "the average of an epoch of moving weights"
    decoder = keras.models.load_model(tmp_path / "run" / "decoder.keras")
    mu = xr.open_zarr(store)["mu"].to_numpy()
    output = keras.ops.convert_to_numpy(decoder(mu, training=False)).astype(np.float64)
    target = smooth_images(40) / 255
    entropy = -(target * np.log(output) + (1 - target) * np.log(1 - output))
    assert last.probe_reco == pytest.approx(entropy.mean(axis=-1).sum(axis=(1, 2)).mean(), rel=1e-4)


def test_an_autoencoder_leaves_variational_figures_empty(ae_run: Path) -> None:
    (row,) = read_history(ae_run)
    of_vae = ("kl", "kl_scaled", "max_abs_epsilon", "max_abs_epsilon_clipped", "max_logvar", "probe_kl")
    assert [row[name] for name in of_vae] == [""] * len(of_vae)
    assert row["total_loss"] == row["reco_loss"]
    assert float(row["probe_reco"]) > 0


def test_run_json_holds_what_repeats_the_run(
    vae_run: Path, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    record = json.loads((vae_run / "run.json").read_text())
    (start,) = record.pop("starts")
    assert record == {
        "format": 1,
        "parameters": json.loads(tiny_vae.model_dump_json()),
        "preprocessing": json.loads(small.model_dump_json()),
        "source": {"kind": "memory", "images": 60},
        "images": 60,
        "rejected": 0,
        "probe": {"step": 1, "images": 60},
        "versions": versions(),
    }
    del start["time"]
    limits = {"epsilon_limit": 5.0, "logvar_limit": None}
    assert start == {"after_epoch": 0, "seed": 0, "learning_rate": 0.01, "epochs": 3, **limits}


def test_a_checkpoint_holds_weights_and_optimizer(vae_run: Path) -> None:
    names: list[str] = []
    with h5py.File(vae_run / "checkpoints" / "epoch-0003.weights.h5") as file:
        file.visit(names.append)
        assert int(file["optimizer/vars/0"][()]) == 12
    assert {name.split("/")[0] for name in names} >= {"encoder", "decoder", "optimizer"}


def test_progress_tells_each_epoch_with_its_losses(
    tmp_path: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    progress = RecordingProgress()
    made = train(
        source, tmp_path / "run", tiny_vae.model_copy(update={"epochs": 2}), small, progress=progress
    )
    assert progress.tasks == [("epoch 1/2", 60, "images"), ("epoch 2/2", 60, "images")]
    assert progress.done == 120
    last = made.history[-1]
    shown = {"loss": last.total_loss, "kl": last.kl, "scaled": last.kl_scaled}
    assert progress.figures[-1] == pytest.approx(shown, rel=1e-3)


def test_rejected_images_are_left_out_and_counted(
    tmp_path: Path,
    make_source: Any,
    images: NDArray[np.uint8],
    tiny_ae: TrainParameters,
    small: Preprocessing,
) -> None:
    made = train(make_source(images, damaged=(0, 5)), tmp_path / "run", tiny_ae, small)
    assert (made.images, made.rejected, made.reasons["005.png"]) == (58, 2, "truncated")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["images"], record["rejected"]) == (58, 2)


@pytest.mark.parametrize(("split", "count"), [("train", 20), ("all", 60)])
def test_only_the_training_part_of_a_split_is_used(
    tmp_path: Path,
    make_source: Any,
    images: NDArray[np.uint8],
    tiny_ae: TrainParameters,
    small: Preprocessing,
    split: str,
    count: int,
) -> None:
    source = make_source(images, split=np.arange(60, dtype=np.int8) % 3)
    made = train(source, tmp_path / "run", tiny_ae.model_copy(update={"split": split}), small)
    assert made.images == count
    assert set(source.taken) == set(range(0, 60, 60 // count))


@pytest.mark.parametrize(
    ("count", "split", "remedy"), [(60, 1, "--split all"), (0, None, "expected at least one")]
)
def test_nothing_to_train_on_is_an_error(
    tmp_path: Path,
    make_source: Any,
    images: NDArray[np.uint8],
    tiny_ae: TrainParameters,
    small: Preprocessing,
    count: int,
    split: int | None,
    remedy: str,
) -> None:
    parts = None if split is None else np.full(count, split, np.int8)
    with pytest.raises(UsageError) as caught:
        train(make_source(images[:count], split=parts), tmp_path / "run", tiny_ae, small)
    assert remedy in caught.value.spelled("command line")
    assert not (tmp_path / "run").exists()


def test_a_size_that_does_not_fit_is_refused_first(
    tmp_path: Path, source: Any, tiny_ae: TrainParameters, small: Preprocessing
) -> None:
    with pytest.raises(UsageError, match="expected a multiple of 4"):
        train(source, tmp_path / "run", tiny_ae, small.model_copy(update={"size": 30}))
    assert not source.taken


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_epoch(
    tmp_path: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    run = tmp_path / "run"
    train(source, run, tiny_vae.model_copy(update={"epochs": 1}), small)
    before = {name: (run / name).read_bytes() for name in tree(run) - {"run.json"}}
    steep = tiny_vae.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(LatentscanError) as caught:
        train(source, run, steep, small, resume=True)
    message = caught.value.spelled("command line")
    said = ("nan at step 2 of epoch 2", "checkpoint is epoch 1", "--resume", "--learning-rate")
    assert [part for part in said if part not in message] == []
    assert {name: (run / name).read_bytes() for name in tree(run) - {"run.json"}} == before
    made = train(source, run, tiny_vae, small, resume=True)
    assert [row.epoch for row in made.history] == [1, 2, 3]


def test_weights_that_are_not_finite_reach_no_checkpoint(
    tmp_path: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    one_step = tiny_vae.model_copy(update={"learning_rate": 1e39, "batch_size": 60})
    with pytest.raises(LatentscanError, match=r"is not finite after epoch 1, .* no epoch was finished"):
        train(source, tmp_path / "run", one_step, small)
    assert tree(tmp_path / "run") == {"run.json"}
    gentle = one_step.model_copy(update={"learning_rate": 1e-3, "epochs": 3})
    assert len(train(source, tmp_path / "run", gentle, small, resume=True).history) == 3


def test_an_interrupt_leaves_the_last_epoch_whole_and_a_resume_repeats_the_run(
    tmp_path: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing, vae_run: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(source, run, tiny_vae, small, progress=RecordingProgress(interrupt_at=3))
    assert [row["epoch"] for row in read_history(run)] == ["1", "2"]
    train(source, run, tiny_vae, small, resume=True)
    assert_same_training(run, vae_run)


def assert_same_training(run: Path, other: Path) -> None:
    """Compare every number of two runs but their wall time, to the bit."""

    def numbers(where: Path) -> list[dict[str, str]]:
        return [
            {name: text for name, text in row.items() if name != "seconds"} for row in read_history(where)
        ]

    assert numbers(run) == numbers(other)
    last = f"checkpoints/epoch-{len(numbers(run)):04d}.weights.h5"
    arrays: list[dict[str, Any]] = [{}, {}]
    for path, found in zip((run, other), arrays, strict=True):
        with h5py.File(path / last) as file:
            file.visititems(
                lambda name, item, found=found: (
                    found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
    assert arrays[0].keys() == arrays[1].keys()
    assert len(arrays[0]) > 20
    for name, values in arrays[0].items():
        np.testing.assert_array_equal(values, arrays[1][name], err_msg=name)

"""images -> encoder -> store with a real encoder on real files, whole, interrupted, and in other blocks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import xarray as xr
import zarr
from PIL import Image
from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.encoding.encode import encode, encode_images
from latentscan.encoding.parameters import EncodeParameters, Noise
from latentscan.encoding.sources import chosen_preprocessing, open_source
from latentscan.errors import SOME_REJECTED, ParameterError, StoreError, UsageError
from latentscan.execution.threaded import ThreadedExecutor
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status
from latentscan.kernels.epsilon import epsilon
from latentscan.models.encoder import load_encoder
from latentscan.models.outputs import named_outputs
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.models.encoder import Encoder
    from latentscan.progress import Advance

SIZE = 32
IMAGES = 150


def run(encoder: Encoder, images: Path, store: Path, **kwargs: Any) -> Any:
    preprocessing = encoder.default_preprocessing
    source = open_source(images, preprocessing)
    noise = kwargs.pop("noise", Noise(seed=3))
    return encode(encoder, source, str(store), noise=noise, **kwargs)


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def array(store: Path, name: str) -> Any:
    return np.asarray(zarr.open_group(str(store), mode="r")[name][:])  # type: ignore[index]


def test_every_image_has_its_row(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    summary = run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64)
    assert (summary.images, summary.written, dict(summary.rejected)) == (IMAGES, IMAGES, {})
    source = open_source(faces, encoder.default_preprocessing)
    expected = encoder(source.read(40, 70).values)
    np.testing.assert_array_equal(array(tmp_path / "z.zarr", "mu")[40:70], expected["mu"])
    dataset = xr.open_zarr(tmp_path / "z.zarr").load()
    assert dataset["path"].values[149] == "000150.jpg"
    assert set(dataset["split"].values.tolist()) == {0, 1, 2}
    assert dataset["attribute"].sizes["label"] == 40
    mu, logvar = dataset["mu"].values, dataset["logvar"].values.astype(np.float64)
    noise = epsilon(3, 0, IMAGES, 6)
    np.testing.assert_allclose(dataset["z"].values, mu + np.exp(logvar / 2) * noise, rtol=1e-5, atol=1e-5)
    for key in ("format_version", "encoder", "source", "preprocessing", "seed", "epsilon_limit", "versions"):
        assert key in dataset.attrs
    assert "training" not in dataset.attrs["encoder"]  # a model of the user's own says nothing of it
    assert str(tmp_path) not in str(dataset.attrs)


def test_what_is_known_of_the_training_is_recorded(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    trained = replace(encoder, training={"kind": "vae", "fact": 1e-5, "batch_norm": False, "seed": 7})
    run(trained, faces, tmp_path / "z.zarr")
    assert xr.open_zarr(tmp_path / "z.zarr").attrs["encoder"]["training"] == trained.training


def test_latents_do_not_depend_on_blocks_or_threads(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    run(encoder, faces, tmp_path / "a.zarr", chunk_rows=64)
    run(encoder, faces, tmp_path / "b.zarr", chunk_rows=50, executor=ThreadedExecutor(1))
    run(
        encoder, faces, tmp_path / "c.zarr", chunk_rows=1000, executor=ThreadedExecutor(3), compression="zstd"
    )
    for name in ("mu", "logvar", "z"):
        first = array(tmp_path / "a.zarr", name)
        np.testing.assert_array_equal(array(tmp_path / "b.zarr", name), first)
        np.testing.assert_array_equal(array(tmp_path / "c.zarr", name), first)


def test_noise_is_as_asked(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    run(encoder, faces, tmp_path / "a.zarr", noise=Noise(factor=0))
    np.testing.assert_array_equal(array(tmp_path / "a.zarr", "z"), array(tmp_path / "a.zarr", "mu"))
    run(encoder, faces, tmp_path / "b.zarr", noise=Noise(seed=1))
    run(encoder, faces, tmp_path / "c.zarr", noise=Noise(seed=2))
    assert (array(tmp_path / "b.zarr", "z") != array(tmp_path / "c.zarr", "z")).any()


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = keras.Input((SIZE, SIZE, 3))
    z = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    path: Path = tmp_path_factory.mktemp("autoencoder") / "ae.keras"
    keras.Model(inputs, z).save(path)
    return path


def test_an_autoencoder_writes_z_alone(autoencoder: Path, faces: Path, tmp_path: Path) -> None:
    run(load_encoder(autoencoder), faces, tmp_path / "z.zarr")
    store = open_store(str(tmp_path / "z.zarr"))
    assert store.schema.latents == ("z",)


def test_a_rejected_image_is_nan_and_moves_no_other(
    encoder: Encoder, faces: Path, bad_folder: Path, tmp_path: Path
) -> None:
    summary = run(encoder, bad_folder, tmp_path / "bad.zarr", chunk_rows=4)
    run(encoder, faces, tmp_path / "good.zarr")
    status = array(tmp_path / "bad.zarr", "status")
    rejected = {
        2: Status.DAMAGED,
        4: Status.EMPTY,
        5: Status.NOT_AN_IMAGE,
        9: Status.MISSING,
    }
    assert {row: Status(code) for row, code in enumerate(status) if code} == rejected
    good = [row for row in range(10) if row not in rejected]
    for name in ("mu", "logvar", "z"):
        found, expected = array(tmp_path / "bad.zarr", name), array(tmp_path / "good.zarr", name)
        np.testing.assert_array_equal(found[good], expected[good])
        assert np.isnan(found[list(rejected)]).all()
    assert dict(summary.rejected) == dict.fromkeys(rejected.values(), 1)
    assert [path for path, _ in summary.named] == ["2.jpg", "4.jpg", "5.jpg", "9.jpg"]


def test_a_row_that_is_not_finite_is_rejected(faces: Path, tmp_path: Path) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(inputs)
    mu = keras.layers.Dense(2)(x)
    logvar = keras.layers.Dense(2, bias_initializer="ones")(x) * 1e4
    keras.Model(inputs, {"mu": mu, "logvar": logvar}).save(tmp_path / "wild.keras")
    summary = run(load_encoder(tmp_path / "wild.keras"), faces, tmp_path / "z.zarr")
    assert summary.rejected[Status.NOT_FINITE] > 0
    z, status = array(tmp_path / "z.zarr", "z"), array(tmp_path / "z.zarr", "status")
    assert np.isnan(z[status != 0]).all()
    assert np.isfinite(z[status == 0]).all()


def test_an_encoder_that_gives_no_number_is_refused_before_anything_is_written(
    faces: Path, tmp_path: Path
) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    z = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(np.nan))(
        keras.layers.Flatten()(inputs)
    )
    keras.Model(inputs, z).save(tmp_path / "broken.keras")
    with pytest.raises(UsageError, match="expected finite z"):
        run(load_encoder(tmp_path / "broken.keras"), faces, tmp_path / "z.zarr")
    assert not (tmp_path / "z.zarr").exists()


def test_a_finished_store_is_left_as_it_is(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "z.zarr").rglob("*")}
    assert run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64).written == 0
    with pytest.raises(UsageError, match="seed = 3, now it is 4"):
        run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64, noise=Noise(seed=4))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "z.zarr").rglob("*")} == before


def test_other_images_do_not_go_into_a_store(encoder: Encoder, bad_folder: Path, tmp_path: Path) -> None:
    run(encoder, bad_folder, tmp_path / "z.zarr")
    (bad_folder / "0.jpg").rename(bad_folder / "00.jpg")
    with pytest.raises(UsageError, match="begun with source"):
        run(encoder, bad_folder, tmp_path / "z.zarr")


def test_rejected_images_can_be_read_again(
    encoder: Encoder, faces: Path, bad_folder: Path, tmp_path: Path
) -> None:
    run(encoder, bad_folder, tmp_path / "z.zarr", chunk_rows=4)
    good = sorted((faces / "img_align_celeba").iterdir())
    for number in (2, 4, 5, 9):
        (bad_folder / f"{number}.jpg").unlink()
        (bad_folder / f"{number}.jpg").write_bytes(good[number].read_bytes())
    assert sum(run(encoder, bad_folder, tmp_path / "z.zarr", chunk_rows=4).rejected.values()) == 4
    summary = run(encoder, bad_folder, tmp_path / "z.zarr", chunk_rows=4, retry_rejected=True)
    assert (summary.written, summary.retried, summary.recovered, dict(summary.rejected)) == (4, 4, 4, {})
    run(encoder, faces, tmp_path / "good.zarr")
    np.testing.assert_array_equal(array(tmp_path / "z.zarr", "mu"), array(tmp_path / "good.zarr", "mu")[:10])


def test_paths_that_lead_nowhere_are_refused_before_anything_is_written(
    encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(UsageError) as refused:
        run(encoder, tmp_path / "list.txt", tmp_path / "z.zarr")
    assert "--root" in refused.value.spelled("command line")
    assert not (tmp_path / "z.zarr").exists()


def test_what_decides_rows_is_not_changed_by_a_resume(model: Path, faces: Path, tmp_path: Path) -> None:
    swapped = load_encoder(model, outputs={"mu": 1, "logvar": 0}, batch_size=48)
    run(swapped, faces, tmp_path / "z.zarr", chunk_rows=64)
    with pytest.raises(UsageError, match=r"encoder\.outputs\.logvar = 0, now it is 1"):
        run(load_encoder(model, batch_size=48), faces, tmp_path / "z.zarr", chunk_rows=64)
    source = open_source(faces, swapped.default_preprocessing, pixel_limit=1000)
    with pytest.raises(UsageError, match=r"source\.pixel_limit = 64000000, now it is 1000"):
        encode(swapped, source, str(tmp_path / "z.zarr"), noise=Noise(seed=3), chunk_rows=64)


def test_a_damaged_chunk_of_a_zarr_array_rejects_its_own_images(
    encoder: Encoder, faces: Path, tmp_path: Path
) -> None:
    pixels = open_source(faces, encoder.default_preprocessing).read(0, 20).values
    zarr.create_array(str(tmp_path / "pixels.zarr"), data=pixels, chunks=(8, SIZE, SIZE, 3))
    (tmp_path / "pixels.zarr" / "c" / "1" / "0" / "0" / "0").write_bytes(b"no chunk")
    summary = run(encoder, tmp_path / "pixels.zarr", tmp_path / "z.zarr")
    assert dict(summary.rejected) == {Status.DAMAGED: 8}
    assert np.flatnonzero(array(tmp_path / "z.zarr", "status")).tolist() == list(range(8, 16))


def test_a_damaged_status_is_no_good_image(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64)
    (tmp_path / "z.zarr" / "status" / "c" / "1").unlink()
    with pytest.raises(StoreError, match="status/c/1 is missing"):
        run(encoder, faces, tmp_path / "z.zarr", chunk_rows=64)


def test_a_zarr_array_of_images_is_a_source(encoder: Encoder, faces: Path, tmp_path: Path) -> None:
    pixels = open_source(faces, encoder.default_preprocessing).read(0, 20).values
    zarr.create_array(str(tmp_path / "pixels.zarr"), data=pixels, chunks=(8, SIZE, SIZE, 3))
    run(encoder, tmp_path / "pixels.zarr", tmp_path / "z.zarr")
    run(encoder, faces, tmp_path / "faces.zarr")
    np.testing.assert_array_equal(array(tmp_path / "z.zarr", "mu"), array(tmp_path / "faces.zarr", "mu")[:20])


def test_preprocessing_of_the_training_changes_only_when_asked(encoder: Encoder) -> None:
    trained = encoder.with_preprocessing(Preprocessing(size=SIZE, crop=150))
    assert chosen_preprocessing(trained, {"crop": "150"}, override=False).crop == 150
    with pytest.raises(ParameterError) as refused:
        chosen_preprocessing(trained, {"crop": "none"}, override=False)
    assert (refused.value.field, refused.value.value) == ("crop", "none")
    assert "--override-preprocessing" in refused.value.spelled("command line")
    assert chosen_preprocessing(trained, {"crop": "none"}, override=True).crop == "none"


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("model", {"model": "nowhere"}),
        ("model", {"model": "s3://bucket/run"}),
        ("images", {"images": "nowhere"}),
    ],
)
def test_what_does_not_exist_is_refused(
    model: Path, faces: Path, tmp_path: Path, field: str, changed: dict[str, str]
) -> None:
    given = {"model": str(model), "images": str(faces), **changed}
    with pytest.raises(ParameterError) as refused:
        encode_images(given["model"], given["images"], str(tmp_path / "z.zarr"), EncodeParameters())
    assert (refused.value.field, str(refused.value.value)) == (field, given[field])


@pytest.mark.parametrize("text", ["mu", "mu=a", "mu=0;logvar=1"])
def test_outputs_that_are_no_pairs_are_refused(text: str) -> None:
    with pytest.raises(ParameterError) as refused:
        named_outputs(text)
    assert refused.value.field == "outputs"


def test_noise_of_an_encoder_without_logvar_is_refused(
    autoencoder: Path, faces: Path, tmp_path: Path
) -> None:
    parameters = EncodeParameters(seed=0, epsilon_factor=2)
    with pytest.raises(ParameterError) as refused:
        encode_images(str(autoencoder), str(faces), str(tmp_path / "z.zarr"), parameters)
    assert refused.value.field == "seed"
    assert "leave out --seed and --epsilon-factor" in refused.value.spelled("command line")


@pytest.mark.parametrize("field", ["root", "pixel_limit"])
def test_what_is_only_for_files_is_refused_for_an_array(tmp_path: Path, field: str) -> None:
    zarr.create_array(str(tmp_path / "pixels.zarr"), data=np.zeros((2, SIZE, SIZE, 3), np.uint8))
    given: dict[str, Any] = {field: {"root": str(tmp_path), "pixel_limit": 1}[field]}
    with pytest.raises(ParameterError) as refused:
        open_source(tmp_path / "pixels.zarr", Preprocessing(), **given)
    assert refused.value.field == field


def command(model: Path, images: Path, store: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "latentscan", "encode", "--model", str(model), "--images", str(images)),
        *("--store", str(store), "--chunk-rows", "8"),
    ]


def wait_for_blocks(process: subprocess.Popen[bytes], store: Path, blocks: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(store.glob("**/digest/c/*/0/0"))) < blocks:
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(model: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that an uninterrupted run writes to a place that is free again."""
    folder: Path = tmp_path_factory.mktemp("whole")
    encode_images(str(model), str(faces), str(folder / "z.zarr"), EncodeParameters(chunk_rows=8))
    return (folder / "z.zarr").rename(folder / "whole.zarr")


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_command_goes_on_to_the_same_bytes(
    model: Path, faces: Path, whole: Path, tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    store = whole.with_name("z.zarr")  # the path is in the store, as a part of the command
    with subprocess.Popen(command(model, faces, store)) as process:
        wait_for_blocks(process, store, 3)
        process.send_signal(sent)
        assert process.wait(60) == exit_code
    store = store.rename(tmp_path / "z.zarr")
    committed = open_store(str(store)).committed()
    assert 3 <= committed.sum() < len(committed)
    chunks = [store / "z" / "c" / str(block) / "0" for block in np.flatnonzero(committed)]
    before = [chunk.stat().st_mtime_ns for chunk in chunks]

    encode_images(str(model), str(faces), str(store), EncodeParameters(chunk_rows=8))
    assert files(store) == files(whole)
    assert [chunk.stat().st_mtime_ns for chunk in chunks] == before, "a committed block was written again"


def test_the_command_names_rejected_images_and_exits_with_3(
    model: Path, bad_folder: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, command(model, bad_folder, tmp_path / "z.zarr")[3:])
    assert done.exit_code == SOME_REJECTED, done.stderr
    assert done.stdout == ""
    assert "4 images rejected" in done.stderr
    assert "4.jpg: " in done.stderr


class Heard:
    """A subscriber that remembers lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        yield lambda amount, /, **figures: None

    def log(self, line: str) -> None:
        self.lines.append(line)


def test_what_outputs_and_pixels_are_taken_for_is_said_and_recorded(faces: Path, tmp_path: Path) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(inputs / 255.0)
    spread = keras.layers.Dense(2, name="log_sigma", kernel_initializer="zeros")(x)
    model = keras.Model(inputs, [spread, keras.layers.Dense(2, name="z_mean")(x)])
    model.save(tmp_path / "e.keras")
    heard, store = Heard(), tmp_path / "z.zarr"
    encode_images(
        str(tmp_path / "e.keras"), str(faces), str(store), EncodeParameters(chunk_rows=64), progress=heard
    )
    assert [
        word
        for word, line in zip(("images: ", "log_std", "0..255"), heard.lines, strict=True)
        if word not in line
    ] == []
    attributes: Any = zarr.open_group(store, mode="r").attrs.asdict()
    assert attributes["encoder"]["outputs"] == {"mu": 1, "logvar": "0 (log_std)"}
    assert attributes["preprocessing"]["value_range"] == [0, 255]
    source = open_source(faces, Preprocessing(size=SIZE))
    pixels = source.read(0, len(source)).values.astype(np.float32)
    np.testing.assert_allclose(array(store, "mu"), model.predict(pixels, verbose=0)[1], rtol=1e-4, atol=1e-4)
    forced = EncodeParameters(value_range=(0, 1), override_preprocessing=True, chunk_rows=64)
    encode_images(str(tmp_path / "e.keras"), str(faces), str(tmp_path / "other.zarr"), forced)
    assert np.abs(array(tmp_path / "other.zarr", "mu")).max() < 0.02 * np.abs(array(store, "mu")).max()


@pytest.fixture
def pixels_encoder(tmp_path: Path) -> Path:
    """A model whose z are the pixels that it gets."""
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Flatten(name="z")(image)).save(tmp_path / "pixels.keras")
    return tmp_path / "pixels.keras"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photograph of a camera that was turned, and a drawing with transparent parts."""
    folder = tmp_path / "photos"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values[..., :3]).save(folder / "camera.png", exif=exif)
    Image.fromarray(values).save(folder / "drawing.png")
    return folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "cropped to fit, not turned by EXIF, alpha dropped (assumed; other ways: --loader, --fit)"),
        ({"loader": "keras"}, "stretched to fit, not turned by EXIF, alpha dropped (as asked for)"),
        ({"loader": "latentscan"}, "cropped to fit, turned by EXIF, alpha over white (as asked for)"),
        (
            {"loader": "tf", "alpha": "black"},
            "stretched to fit, not turned by EXIF, alpha over black (as asked for)",
        ),
    ],
)
def test_images_are_loaded_as_the_training_did_it(
    pixels_encoder: Path, photos: Path, tmp_path: Path, options: Any, said: str
) -> None:
    parameters = EncodeParameters(**options)
    heard = Heard()
    encode_images(str(pixels_encoder), str(photos), str(tmp_path / "z.zarr"), parameters, progress=heard)
    assert heard.lines[0] == f"images: 8x8 RGB in 0..1, {said}"
    attributes = zarr.open_group(str(tmp_path / "z.zarr"), mode="r").attrs.asdict()
    chosen = Preprocessing.model_validate(attributes["preprocessing"])
    assert {name: getattr(chosen, name) for name in options} == options
    rows = np.rint(array(tmp_path / "z.zarr", "z").reshape(2, 8, 8, 3) * 255)
    np.testing.assert_array_equal(rows, open_source(photos, chosen).read(0, 2).values)
    if "alpha" not in options and options.get("loader") != "latentscan":
        trained = [keras.utils.img_to_array(keras.utils.load_img(file)) for file in sorted(photos.iterdir())]
        np.testing.assert_array_equal(rows, trained)


def test_a_store_of_before_loaders_were_a_choice_goes_on_as_it_was_begun(
    pixels_encoder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = (str(pixels_encoder), str(photos), str(tmp_path / "z.zarr"))
    with monkeypatch.context() as before:
        record = {"crop": "square", "size": 8, "resampling": "bilinear", "value_range": [0.0, 1.0]}
        before.setattr("latentscan.encoding.sources.assumed", lambda own, begun: own)
        before.setattr("latentscan.encoding.encode.as_recorded", lambda own, begun: record)
        encode_images(*where, EncodeParameters())
    whole = files(tmp_path / "z.zarr")
    retract_blocks(where[2], [0])
    heard = Heard()
    encode_images(*where, EncodeParameters(), progress=heard)
    assert "turned by EXIF, alpha over white" in heard.lines[0]
    assert files(tmp_path / "z.zarr") == whole
    with pytest.raises(UsageError, match=r"alpha|preprocessing"):
        encode_images(*where, EncodeParameters(alpha="black"))

"""Any encoder on any images: the store holds what the model's own framework gives for the same pixels."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import zarr
from PIL import Image

import latentscan as ls
from latentscan.models.backend import keras
from tests.models.encoders import as_keras_2
from tests.models.onnx_files import linear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES = 7
RGB, GREY, WIDE = (8, 8, 3), (28, 28, 1), (8, 12, 3)
layers = keras.layers


@dataclass(frozen=True)
class Made:
    """An encoder that was made: what `encode` is given, and what its framework gives for pixels in 0..1."""

    model: str
    shape: tuple[int, int, int]
    truth: Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]
    options: dict[str, Any] = field(default_factory=dict)
    latent_shape: tuple[int, ...] | None = None


def _keras(model: Any, file: Path, names: tuple[str, ...], **more: Any) -> Made:
    model.save(file)

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        found = keras.tree.flatten(model(pixels, training=False))
        return {name: np.asarray(one) for name, one in zip(names, found, strict=True)}

    return Made(str(file), tuple(model.inputs[0].shape[1:]), truth, **more)


def _heads(x: Any, units: int = 3) -> list[Any]:
    x = layers.Flatten()(x)
    return [layers.Dense(units, name=name)(x) for name in ("z_mean", "z_log_var")]


def keras_vae(folder: Path) -> Made:
    image = keras.Input(RGB)
    return _keras(keras.Model(image, _heads(image)), folder / "vae.keras", ("mu", "logvar"))


def keras_grey(folder: Path) -> Made:
    model = keras.Sequential([keras.Input(GREY), layers.Conv2D(4, 3, 2), layers.Flatten(), layers.Dense(2)])
    return _keras(model, folder / "grey.keras", ("z",))


def keras_wide(folder: Path) -> Made:
    image = keras.Input(WIDE)
    x = layers.Conv2D(4, 3, 2, padding="same")(image)
    return _keras(keras.Model(image, _heads(x, 16)), folder / "wide.keras", ("mu", "logvar"))


def keras_spatial(folder: Path) -> Made:
    image = keras.Input(GREY)
    z = layers.Conv2D(5, 3, 4, padding="same")(image)
    return _keras(keras.Model(image, z), folder / "spatial.keras", ("z",), latent_shape=(7, 7, 5))


def keras_channels_first(folder: Path) -> Made:
    image = keras.Input((3, 8, 8))
    model = keras.Model(image, _heads(layers.Permute((2, 3, 1))(image)))
    made = _keras(model, folder / "first.keras", ("mu", "logvar"))
    return Made(made.model, RGB, lambda pixels: made.truth(pixels.transpose(0, 3, 1, 2)), made.options)


def keras_mixed_precision(folder: Path) -> Made:
    image = keras.Input(RGB)
    x = layers.Dense(6, dtype="mixed_bfloat16")(layers.Flatten()(image))
    model = keras.Model(image, layers.Dense(2, name="mu", dtype="mixed_float16")(x))
    return _keras(model, folder / "mixed.keras", ("z",))


def keras_batch_of_one(folder: Path) -> Made:
    image = keras.Input(batch_shape=(1, *RGB))
    model = keras.Model(image, _heads(image))
    made = _keras(model, folder / "one.keras", ("mu", "logvar"))

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        rows = [made.truth(pixels[at : at + 1]) for at in range(len(pixels))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return Made(made.model, RGB, truth)


class Draw(keras.layers.Layer):  # type: ignore[misc]
    """A layer of someone's own, whose code is in no file."""

    def call(self, heads: Any) -> Any:
        return heads[0] + keras.random.normal(keras.ops.shape(heads[0]))


def keras_own_layer(folder: Path) -> Made:
    image = keras.Input(RGB)
    heads = _heads(image)
    made = _keras(keras.Model(image, heads), folder / "heads.keras", ("mu", "logvar"))
    keras.Model(image, [*heads, Draw()(heads)]).save(folder / "own.keras")
    return Made(str(folder / "own.keras"), RGB, made.truth)


def keras_part(folder: Path) -> Made:
    image, point = keras.Input(RGB), keras.Input((3,))
    encoder = keras.Model(image, layers.Dense(3)(layers.Flatten()(image)), name="encoder")
    decoder = keras.Model(point, layers.Reshape(RGB)(layers.Dense(192)(point)))
    made = _keras(encoder, folder / "encoder.keras", ("z",))
    keras.Model(image, decoder(encoder(image))).save(folder / "whole.keras")
    return Made(str(folder / "whole.keras"), RGB, made.truth, {"layer": "encoder"})


def keras_2(folder: Path) -> Made:
    image = keras.Input(WIDE)
    x = layers.BatchNormalization()(layers.LeakyReLU(0.1)(layers.Conv2D(4, 3)(image)))
    made = _keras(keras.Model(image, _heads(x)), folder / "new.keras", ("mu", "logvar"))
    return Made(str(as_keras_2(folder / "new.keras", folder / "old.keras")), WIDE, made.truth)


def _torch(
    folder: Path, shape: tuple[int, int, int], *, spatial: bool = False, groups: int | None = None
) -> Made:
    """Export a model of PyTorch as the README does."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    height, width, channels = shape
    norm = torch.nn.GroupNorm(groups, 4) if groups else torch.nn.BatchNorm2d(4)
    parts = [torch.nn.Conv2d(channels, 4, 3, 2, 1), norm, torch.nn.ReLU()]
    sides = (-(-height // 2), -(-width // 2))
    tail = [torch.nn.Flatten(), torch.nn.Linear(4 * sides[0] * sides[1], 5)]
    model = torch.nn.Sequential(*parts, *([] if spatial else tail)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces its other exporter
        torch.onnx.export(
            model,
            (torch.zeros(1, channels, height, width),),
            str(folder / "encoder.onnx"),
            dynamo=False,
            input_names=["image"],
            output_names=["z"],
            dynamic_axes={"image": {0: "n"}, "z": {0: "n"}},
        )

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            return {"z": model(torch.tensor(pixels.transpose(0, 3, 1, 2))).numpy()}

    return Made(str(folder / "encoder.onnx"), shape, truth, latent_shape=(4, *sides) if spatial else None)


def torch_rgb(folder: Path) -> Made:
    return _torch(folder, RGB)


def torch_grey(folder: Path) -> Made:
    return _torch(folder, GREY)


def torch_spatial(folder: Path) -> Made:
    return _torch(folder, WIDE, spatial=True)


def torch_group_norm(folder: Path) -> Made:
    return _torch(folder, RGB, groups=2)


def onnx_file(folder: Path) -> Made:
    weights = linear(folder / "linear.onnx", entry=("n", 8, 8, 3))

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return {name: pixels.reshape(len(pixels), -1) @ matrix for name, matrix in weights.items()}

    return Made(str(folder / "linear.onnx"), RGB, truth)


FUNCTION = """
import numpy as np

def encode(pixels):
    return {"mean": pixels.mean(axis=(1, 2)), "sigma": 0.1 + pixels.std(axis=(1, 2))}

def halves(pixels):
    return pixels[:, ::2, ::2]
"""


def function_vae(folder: Path) -> Made:
    (folder / "mine.py").write_text(FUNCTION)

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        spread = 0.1 + pixels.std(axis=(1, 2))
        return {"mu": pixels.mean(axis=(1, 2)), "logvar": 2 * np.log(spread)}

    return Made(f"{folder / 'mine.py'}:encode", RGB, truth, {"size": 8, "trust_model": True})


def function_spatial(folder: Path) -> Made:
    (folder / "mine.py").write_text(FUNCTION)
    options = {"size": (8, 12), "trust_model": True}
    model = f"{folder / 'mine.py'}:halves"
    return Made(model, WIDE, lambda pixels: {"z": pixels[:, ::2, ::2]}, options, latent_shape=(4, 6, 3))


def _pngs(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    found = {}
    for row, image in enumerate(pixels):
        stream = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(stream, "png")
        found[f"{row:03d}.png"] = stream.getvalue()
    return found


def in_folder(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    for name, data in _pngs(pixels).items():
        (folder / name).write_bytes(data)
    return folder


def in_npy(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    np.save(folder / "images.npy", pixels)
    return folder / "images.npy"


def in_zarr(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    zarr.create_array(folder / "images.zarr", data=pixels, chunks=(3, *pixels.shape[1:]))
    return folder / "images.zarr"


def in_list(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    in_folder(folder, pixels)
    names = list(_pngs(pixels))
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "list.txt"


def in_zip(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, data in _pngs(pixels).items():
            archive.writestr(f"faces/{name}", data)
    return folder / "images.zip"


def in_tar(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    with tarfile.open(folder / "images.tar", "w") as archive:
        for name, data in _pngs(pixels).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "images.tar"


def in_parquet(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": data, "path": name} for name, data in _pngs(pixels).items()]
    pq.write_table(pa.table({"image": images}), folder / "images.parquet")
    return folder / "images.parquet"


def in_hdf5(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    with h5py.File(folder / "images.h5", "w") as file:
        file["images"] = pixels
    return folder / "images.h5"


def in_npz(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    np.savez_compressed(folder / "images.npz", x_train=pixels)
    return folder / "images.npz"


SOURCES = (in_folder, in_npy, in_zip, in_tar, in_zarr, in_parquet, in_hdf5, in_list, in_npz)
ENCODERS = (
    *(keras_vae, keras_grey, keras_wide, keras_spatial, keras_channels_first, keras_mixed_precision),
    *(
        keras_batch_of_one,
        keras_own_layer,
        keras_part,
        keras_2,
        torch_rgb,
        torch_grey,
        torch_spatial,
        torch_group_norm,
    ),
    *(onnx_file, function_vae, function_spatial),
)
# every encoder with two sources, every source with three encoders or more
PAIRS = [
    (encoder, SOURCES[(2 * at + step) % len(SOURCES)])
    for at, encoder in enumerate(ENCODERS)
    for step in (0, 1)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Made]], Made]:
    return cache(lambda build: build(tmp_path_factory.mktemp(build.__name__)))


@pytest.mark.parametrize(
    ("build", "source"), PAIRS, ids=[f"{build.__name__}-{source.__name__}" for build, source in PAIRS]
)
def test_the_store_holds_what_the_framework_gives(
    build: Callable[[Path], Made],
    source: Callable[[Path, NDArray[np.uint8]], Path],
    made: Callable[[Callable[[Path], Made]], Made],
    tmp_path: Path,
) -> None:
    encoder = made(build)
    pixels = np.random.default_rng(3).integers(0, 256, (IMAGES, *encoder.shape), np.uint8)
    (tmp_path / "images").mkdir()
    images = source(tmp_path / "images", pixels)
    summary = ls.encode(
        encoder.model, images, tmp_path / "z.zarr", progress=False, chunk_rows=4, **encoder.options
    )
    assert (summary.images, dict(summary.rejected)) == (IMAGES, {})
    store = ls.open(str(tmp_path / "z.zarr"))
    expected = encoder.truth((pixels / np.float32(255)).astype(np.float32))
    assert set(store.schema.latents) == set(expected) | {"z"}
    for name, values in expected.items():
        rows = values.reshape(IMAGES, -1)
        # the last digits of float16 and bfloat16 are those of the order of the sums
        tolerance = (1e-2 if build is keras_mixed_precision else 1e-4) * np.abs(rows).max()
        np.testing.assert_allclose(np.asarray(getattr(store, name)[:]), rows, rtol=0, atol=tolerance)
    assert store.latent_shape == (encoder.latent_shape or (rows.shape[1],))


def _planes(folder: Path) -> tuple[str, dict[str, Any]]:
    image = keras.Input((8, 12, 5))
    keras.Model(image, layers.Dense(3)(layers.Flatten()(image))).save(folder / "planes.keras")
    return str(folder / "planes.keras"), {}


def _first(folder: Path) -> tuple[str, dict[str, Any]]:
    linear(folder / "first.onnx", entry=("n", 5, 8, 12), names=["z"])
    return str(folder / "first.onnx"), {}


def _function(folder: Path) -> tuple[str, dict[str, Any]]:
    (folder / "mine.py").write_text(FUNCTION)
    return f"{folder / 'mine.py'}:halves", {"size": (8, 12), "channels": 5, "trust_model": True}


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("build", [_planes, _first, _function])
def test_arrays_of_any_pixels_are_encoded_as_exactly_as_they_are(
    build: Callable[[Path], tuple[str, dict[str, Any]]], kind: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    values = random.random((IMAGES, 8, 12, 5)).astype(np.float32)
    most = 1 if kind == np.float32 else np.iinfo(kind).max
    images = (values * most).astype(kind)
    exact = (images / most).astype(np.float32)
    model, options = build(tmp_path)
    np.save(tmp_path / "images.npy", np.moveaxis(images, 3, 1) if build is _first else images)
    summary = ls.encode(model, tmp_path / "images.npy", tmp_path / "z.zarr", progress=False, **options)
    assert (summary.images, dict(summary.rejected)) == (IMAGES, {})
    if build is _planes:
        truth = np.asarray(keras.models.load_model(model)(exact))
    elif build is _first:
        (weights,) = linear(tmp_path / "first.onnx", entry=("n", 5, 8, 12), names=["z"]).values()
        truth = np.moveaxis(exact, 3, 1).reshape(IMAGES, -1) @ weights
    else:
        truth = exact[:, ::2, ::2].reshape(IMAGES, -1)
    rows = np.asarray(ls.open(str(tmp_path / "z.zarr")).z[:])
    np.testing.assert_allclose(rows, truth, rtol=0, atol=2e-6 * np.abs(truth).max())

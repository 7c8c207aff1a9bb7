"""Any encoder on any images: the store holds what the model's own framework gives for the same pixels."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import latentscan as ls
from latentscan.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES = 7
RGB, GREY, WIDE = (8, 8, 3), (28, 28, 1), (8, 12, 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
layers = keras.layers

Truth = "Mapping[str, NDArray[np.float32]]"


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


class OwnNoise(layers.Layer):  # type: ignore[misc]
    """A sampling layer of the user's own, which need not be run."""

    def call(self, inputs: Any) -> Any:
        return inputs[0] + keras.ops.exp(inputs[1] / 2) * keras.random.normal(keras.ops.shape(inputs[0]))


def keras_own_layer(folder: Path) -> Made:
    image = keras.Input(RGB)
    heads = _heads(image)
    keras.Model(image, [*heads, OwnNoise()(heads)]).save(folder / "own.keras")
    made = _keras(keras.Model(image, heads), folder / "inner.keras", ("mu", "logvar"))
    return Made(str(folder / "own.keras"), RGB, made.truth)


def keras_mixed_precision(folder: Path) -> Made:
    image = keras.Input(RGB)
    x = layers.Dense(6, dtype="mixed_bfloat16")(layers.Flatten()(image))
    model = keras.Model(image, layers.Dense(2, name="mu", dtype="mixed_float16")(x))
    return _keras(model, folder / "mixed.keras", ("z",))


def keras_autoencoder(folder: Path) -> Made:
    image = keras.Input(GREY)
    encoder = keras.Model(image, layers.Dense(4)(layers.Flatten()(image)), name="encoder")
    pixels = layers.Reshape(GREY)(layers.Dense(28 * 28, activation="sigmoid")(encoder(image)))
    keras.Model(image, pixels).save(folder / "whole.keras")
    made = _keras(encoder, folder / "part.keras", ("z",))
    return Made(str(folder / "whole.keras"), GREY, made.truth, {"layer": "encoder"})


def keras_2(folder: Path) -> Made:
    tf_keras = pytest.importorskip("tf_keras")
    own = tf_keras.layers
    image = tf_keras.Input(RGB)
    x = own.Flatten()(own.Conv2D(4, 3, activation="relu")(image))
    model = tf_keras.Model(image, [own.Dense(3, name="z_mean")(x), own.Dense(3, name="z_log_var")(x)])
    model.save(folder / "old.h5")

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return dict(zip(("mu", "logvar"), model.predict(pixels, verbose=0), strict=True))

    return Made(str(folder / "old.h5"), RGB, truth, {"trust_model": True})


def onnx_grey(folder: Path) -> Made:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    weights = np.random.default_rng(0).normal(size=(28 * 28, 6)).astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["latent"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("image", kind, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("latent", kind, ["n", 6])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "grey.onnx")
    return Made(
        str(folder / "grey.onnx"),
        GREY,
        lambda pixels: {"z": pixels.reshape(len(pixels), -1).astype(np.float64) @ weights},
    )


def _torch(folder: Path, name: str, module: Any, channels: int, side: int, outputs: tuple[str, ...]) -> str:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    file = str(folder / name)
    example = torch.zeros(1, channels, side, side)
    axes = {one: {0: "n"} for one in ("image", *outputs)}
    torch.onnx.export(
        module.eval(),
        (example,),
        file,
        input_names=["image"],
        output_names=list(outputs),
        dynamic_axes=axes,
        dynamo=False,
    )
    return file


def onnx_from_torch(folder: Path) -> Made:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Encoder(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
            self.mu, self.logvar = nn.Linear(36, 5), nn.Linear(36, 5)

        def forward(self, image: Any) -> Any:
            x = self.body(image)
            return self.mu(x), self.logvar(x)

    torch.manual_seed(0)
    module = Encoder()
    file = _torch(folder, "torch.onnx", module, 3, 8, ("mu", "logvar"))
    mean, std = (np.float32(values) for values in IMAGENET)

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        images = torch.from_numpy(((pixels - mean) / std).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            return {name: one.numpy() for name, one in zip(("mu", "logvar"), module(images), strict=True)}

    return Made(file, RGB, truth, {"mean": IMAGENET[0], "std": IMAGENET[1]})


def onnx_spatial(folder: Path) -> Made:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    module = torch.nn.Conv2d(1, 6, 4, 4)
    file = _torch(folder, "spatial.onnx", module, 1, 28, ("latent",))

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            return {"z": module(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()}

    return Made(file, GREY, truth, latent_shape=(6, 7, 7))


FUNCTION = """
import numpy as np

def encode(pixels):
    flat = pixels.reshape(len(pixels), -1)
    weights = np.sin(np.arange(flat.shape[1] * 3, dtype=np.float64)).reshape(-1, 3)
    mu = flat @ weights
    return {"mean": mu, "std": 0.1 + abs(mu)}
"""


def _function(folder: Path, name: str, shape: tuple[int, int, int]) -> Made:
    file = folder / f"{name}.py"
    file.write_text(FUNCTION)
    namespace: dict[str, Any] = {}
    exec(FUNCTION, namespace)  # noqa: S102 (its own text)

    def truth(pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        found = namespace["encode"](pixels)
        return {"mu": found["mean"], "logvar": 2 * np.log(found["std"])}

    height, width, channels = shape
    options = {"size": (height, width), "channels": "grey" if channels == 1 else "rgb", "trust_model": True}
    return Made(f"{file}:encode", shape, truth, options)


def function_wide(folder: Path) -> Made:
    return _function(folder, "wide", WIDE)


def function_grey(folder: Path) -> Made:
    return _function(folder, "grey", GREY)


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


def in_zip(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, data in _pngs(pixels).items():
            archive.writestr(f"images/{name}", data)
    return folder / "images.zip"


def in_tar(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    with tarfile.open(folder / "images.tar", "w") as archive:
        for name, data in _pngs(pixels).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "images.tar"


def in_parquet(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [{"bytes": data, "path": name} for name, data in _pngs(pixels).items()]
    pq.write_table(pa.table({"image": rows}), folder / "images.parquet", row_group_size=3)
    return folder / "images.parquet"


def in_hdf5(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "images.h5", "w") as file:
        file["images"] = pixels
    return folder / "images.h5"


def in_npz(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    np.savez(folder / "images.npz", images=pixels)
    return folder / "images.npz"


SOURCES = (in_folder, in_zip, in_tar, in_parquet, in_hdf5, in_npz)
ENCODERS = (
    *(keras_vae, keras_grey, keras_wide, keras_spatial, keras_channels_first, keras_own_layer),
    *(keras_mixed_precision, keras_autoencoder, keras_2),
    *(onnx_grey, onnx_from_torch, onnx_spatial, function_wide, function_grey),
)
# every encoder with two or three sources, every source with five encoders at least
PAIRS = [
    (encoder, SOURCES[(at * 2 + step) % len(SOURCES)])
    for at, encoder in enumerate(ENCODERS)
    for step in ((0, 1, 3) if encoder in (onnx_from_torch, keras_vae, keras_grey) else (0, 1))
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
    expected = encoder.truth(pixels / np.float32(255))
    assert set(store.schema.latents) == set(expected) | {"z"}
    for name, values in expected.items():
        rows = values.reshape(IMAGES, -1)
        # the last digits of float16 and bfloat16 are those of the order of the sums
        tolerance = (1e-2 if build is keras_mixed_precision else 1e-4) * np.abs(rows).max()
        np.testing.assert_allclose(np.asarray(getattr(store, name)[:]), rows, rtol=0, atol=tolerance)
    assert store.latent_shape == (encoder.latent_shape or (rows.shape[1],))

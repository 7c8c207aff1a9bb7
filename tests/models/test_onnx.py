from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from latentscan.errors import LatentscanError, ParameterError, UsageError, parameter
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.encoder import load_encoder
from latentscan.models.outputs import named_outputs
from latentscan.models.packing import sha256
from tests.models.onnx_files import half_size, linear, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def images(count: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, *shape), np.uint8)


def close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    expected = expected.reshape(len(expected), -1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def exported(path: Path, model: Any, shape: tuple[int, ...], names: list[str], **options: Any) -> None:
    """Export a PyTorch model as the README does."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces its other exporter
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, *shape),),
            str(path),
            input_names=["image"],
            output_names=names,
            dynamo=False,
            **options,
        )


def convolutional(torch: Any) -> Any:
    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 3, 2, 1),
                torch.nn.BatchNorm2d(8),
                torch.nn.LeakyReLU(),
                torch.nn.Conv2d(8, 16, 3, 2, 1),
                torch.nn.GELU(),
                torch.nn.Flatten(),
            )
            self.fc_mu = torch.nn.Linear(16 * 6 * 8, 5)
            self.fc_logvar = torch.nn.Linear(16 * 6 * 8, 5)

        def forward(self, image: Any) -> Any:
            features = self.body(image)
            return self.fc_mu(features), self.fc_logvar(features)

    return Encoder()


def attention(torch: Any) -> Any:
    """A model whose sums depend on the number of threads, where one run is shared out over them."""
    nn = torch.nn

    class Encoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 64, 8, 8)
            layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 33)

        def forward(self, image: Any) -> Any:
            return self.head(self.body(self.patches(image).flatten(2).transpose(1, 2)).mean(1))

    return Encoder()


def test_the_numbers_are_those_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = convolutional(torch)
    axes = {"image": {0: "n"}, "mu": {0: "n"}, "logvar": {0: "n"}}
    exported(tmp_path / "e.onnx", model, (3, 24, 32), ["mu", "logvar"], dynamic_axes=axes)
    exported(tmp_path / "one.onnx", model, (3, 24, 32), ["mu", "logvar"])
    pixels = images(17, 24, 32, 3)
    with torch.no_grad():
        truth = model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    for name in ("e", "one"):
        encoder = load_encoder(tmp_path / f"{name}.onnx")
        assert (encoder.outputs, encoder.latent_shape) == (("mu", "logvar"), (5,))
        assert encoder.default_preprocessing.size == (24, 32)
        found = encoder(pixels)
        for array, values in zip(("mu", "logvar"), truth, strict=True):
            close(found[array], values.numpy())
        assert encoder.versions["onnxruntime"]


def test_a_row_has_the_same_bits_at_any_place_on_any_number_of_threads(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    path = tmp_path / "e.onnx"
    exported(path, attention(torch), (3, 64, 64), ["z"], dynamic_axes={"image": {0: "n"}, "z": {0: "n"}})
    pixels = images(40, 64, 64, 3)
    encoder = load_encoder(path)
    rows = encoder(pixels)["z"]
    np.testing.assert_array_equal(encoder(pixels[::-1])["z"][::-1], rows)
    np.testing.assert_array_equal(encoder(pixels[7:8])["z"], rows[7:8])
    alone = load_encoder(path, batch_size=1)
    np.testing.assert_array_equal(
        np.concatenate([alone(pixels[at : at + 1])["z"] for at in (0, 9)]), rows[[0, 9]]
    )
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys; import numpy as np; from pathlib import Path; import hashlib\n"
        "from latentscan.models.encoder import load_encoder\n"
        "found = load_encoder(Path(sys.argv[1]))(np.load(sys.argv[2]))\n"
        "print(hashlib.sha256(found['z'].tobytes()).hexdigest())"
    )
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / "pixels.npy")],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == hashlib.sha256(rows.tobytes()).hexdigest()


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "uint8"])
@pytest.mark.parametrize(
    "entry", [("n", 3, 8, 12), ("n", 8, 12, 3), ("n", 1, 8, 8), ("n", 8, 8, 1), (1, 3, 8, 8), (5, 8, 8, 3)]
)
def test_layouts_types_and_batches_of_any_kind_are_recognised(
    tmp_path: Path, entry: tuple[Any, ...], kind: str
) -> None:
    weights = linear(tmp_path / "e.onnx", entry=entry, kind=kind, declared=kind != "float16")
    first = entry[1] in (1, 3)
    height, width, channels = (*entry[2:], entry[1]) if first else entry[1:]
    encoder = load_encoder(tmp_path / "e.onnx", batch_size=8)
    assert encoder.default_preprocessing.shape == (height, width, channels)
    pixels = images(7, height, width, channels)
    limits = (0.0, 255.0 if kind == "uint8" else 1.0)
    assert encoder.default_preprocessing.value_range == limits
    values = (pixels * (limits[1] / 255)).astype(kind).astype(np.float64)
    rows = (np.moveaxis(values, 3, 1) if first else values).reshape(7, -1)
    found = encoder(pixels)
    for name, matrix in weights.items():
        close(found[name], rows @ matrix)


def test_floats_become_the_nearest_bytes_and_never_wrap(tmp_path: Path) -> None:
    matrix = linear(tmp_path / "e.onnx", names=("z",), kind="uint8")["z"]
    pixels = np.zeros((1, 8, 8, 3), np.float32)
    pixels[0, 0, 0] = (1.02, -0.02, 0.999)  # as bicubic gives them
    close(load_encoder(tmp_path / "e.onnx")(pixels)["z"], 255 * (matrix[:1] + matrix[128:129]))


def test_images_of_any_size_are_taken_in_the_size_that_is_asked_for(tmp_path: Path) -> None:
    half_size(tmp_path / "e.onnx")
    unasked = load_encoder(tmp_path / "e.onnx")
    assert unasked.latent_shape == (3, 48, 48)
    assert unasked.notes == (
        "images of 96x96 are assumed for encoder e.onnx, which takes any; if it was trained on others, give "
        + parameter("size"),
    )
    asked = {"size": (16, 24)}
    encoder = load_encoder(tmp_path / "e.onnx", asked=asked).with_preprocessing(
        Preprocessing.model_validate(asked)
    )
    assert (encoder.latent_shape, encoder.notes) == ((3, 8, 12), ())
    pixels = images(4, 16, 24, 3)
    mean = (pixels / 255).reshape(4, 8, 2, 12, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    close(encoder(pixels)["z"], mean)


def test_outputs_are_named_by_position_and_by_a_tensor_inside(tmp_path: Path) -> None:
    weights = linear(tmp_path / "e.onnx", names=("Identity:0", "Identity_1:0"))
    pixels = images(3, 8, 8, 3)
    rows = (pixels / 255).transpose(0, 3, 1, 2).reshape(3, -1)
    with pytest.raises(ParameterError, match=r"cannot be seen .*Identity:0 \(n, 3\), .* outputs=mu,logvar"):
        load_encoder(tmp_path / "e.onnx")
    found = load_encoder(tmp_path / "e.onnx", outputs=named_outputs("log_std,mu"))(pixels)
    close(found["mu"], rows @ weights["Identity_1:0"])
    close(found["logvar"], 2 * rows @ weights["Identity:0"])
    inside = load_encoder(tmp_path / "e.onnx", outputs=named_outputs("z=numbers"))
    assert inside.latent_shape == (192,)
    close(pickle.loads(pickle.dumps(inside))(pixels)["z"], rows)  # noqa: S301
    with pytest.raises(
        ParameterError, match=r"no output or tensor nothing; it has .*numbers.*; the outputs of .* Identity:0"
    ):
        load_encoder(tmp_path / "e.onnx", outputs=named_outputs("z=nothing"))


def test_weights_beside_the_file_go_with_it(tmp_path: Path) -> None:
    path, data = tmp_path / "e.onnx", tmp_path / "weights.bin"
    weights = linear(path, save_as_external_data=True, location=data.name, size_threshold=0)
    pixels = images(3, 8, 8, 3)
    encoder = load_encoder(path)
    sent, own = pickle.dumps(encoder), encoder(pixels)
    close(own["mu"], (pixels / 255).transpose(0, 3, 1, 2).reshape(3, -1) @ weights["mu"])
    data.write_bytes(data.read_bytes()[::-1])
    assert sha256(path) != encoder.sha256
    with pytest.raises(UsageError, match="was changed since"):
        pickle.dumps(encoder)
    data.unlink()
    with pytest.raises(ParameterError, match=r"its weights are in weights\.bin, which is not beside it"):
        load_encoder(path)
    path.unlink()
    np.testing.assert_array_equal(pickle.loads(sent)(pixels)["mu"], own["mu"])  # noqa: S301


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("../weights.bin", "outside of its folder"),
        ("{outside}", "outside of its folder"),
        ("link.bin", "outside of its folder"),
        ("a\0b", "that no file can hold"),
        ("a" * 300, "that no file can hold"),
    ],
)
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, place: str, message: str) -> None:
    folder, outside = tmp_path / "model", tmp_path / "weights.bin"
    folder.mkdir()
    linear(folder / "e.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (folder / "weights.bin").rename(outside)
    (folder / "link.bin").symlink_to(outside)
    model = onnx.load(str(folder / "e.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = place.format(outside=outside)
    (folder / "e.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ParameterError, match=f"names weights {message}"):
        load_encoder(folder / "e.onnx")


def test_what_does_not_depend_on_the_image_alone_is_refused(tmp_path: Path) -> None:
    flat = helper.make_node("Flatten", ["image"], ["flat"])
    random = [
        flat,
        helper.make_node("RandomNormalLike", ["flat"], ["noise"]),
        helper.make_node("Add", ["flat", "noise"], ["z"]),
    ]
    others = [
        flat,
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["flat", "mean"], ["z"]),
    ]
    for nodes in (random, others):
        for entry in (("n", 3, 8, 8), (4, 3, 8, 8)):
            save(tmp_path / "e.onnx", nodes, entry, {"z": [entry[0], 192]}, {})
            with pytest.raises(ParameterError, match="z is random, or depends on the other images"):
                load_encoder(tmp_path / "e.onnx")
    named = load_encoder(tmp_path / "e.onnx", outputs={"z": "flat"})
    assert named.latent_shape == (192,)


def test_operations_of_someones_own_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Magic", ["image"], ["z"], domain="my.own")
    save(tmp_path / "e.onnx", [node], ("n", 3, 8, 8), {"z": ["n", 3]}, {}, opsets={"my.own": 1})
    with pytest.raises(ParameterError, match=r"operations that are not ONNX's own, my\.own:Magic; export it"):
        load_encoder(tmp_path / "e.onnx")


def test_what_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    linear(tmp_path / "e.onnx")
    model = onnx.load(str(tmp_path / "e.onnx"))
    model.graph.initializer[0].dims[0] = 2**40
    (tmp_path / "e.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ParameterError, match=r"weights claim 13,194,139,5\d\d,\d{3} .* made to fill memory"):
        load_encoder(tmp_path / "e.onnx")


def test_what_is_no_onnx_file_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    linear(tmp_path / "e.onnx")
    whole = (tmp_path / "e.onnx").read_bytes()
    for content in (b"", b"no model", b"PK\x03\x04" + bytes(99), b"\x08\x0a", whole[:-1], whole[:40]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ParameterError, match=r"bad\.onnx: expected an ONNX file; it is damaged"):
            load_encoder(tmp_path / "bad.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ParameterError, match=r"folder\.onnx"):
        load_encoder(tmp_path / "folder.onnx")
    rng = np.random.default_rng(0)
    for _ in range(60):  # a byte is another one
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole) // 8)] = rng.integers(256)
        (tmp_path / "bad.onnx").write_bytes(damaged)
        try:
            load_encoder(tmp_path / "bad.onnx")
        except LatentscanError as error:
            assert "bad.onnx" in str(error)  # noqa: PT017


def test_inputs_that_are_no_images_are_refused(tmp_path: Path) -> None:
    linear(tmp_path / "e.onnx", entry=("n", 192))
    with pytest.raises(ParameterError, match=r"one input of images, .* got \(n, 192\) tensor\(float\)"):
        load_encoder(tmp_path / "e.onnx")


def test_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linear(tmp_path / "e.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ParameterError, match=r'ONNX files need onnxruntime; pip install "\.\[onnx\]"'):
        load_encoder(tmp_path / "e.onnx")


def test_what_is_for_keras_models_is_refused(tmp_path: Path) -> None:
    linear(tmp_path / "e.onnx")
    with pytest.raises(ParameterError, match=r"layer=dense: is for Keras models; .* outputs"):
        load_encoder(tmp_path / "e.onnx", layer="dense")

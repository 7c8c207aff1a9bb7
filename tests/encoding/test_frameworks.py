"""Encoders that are no Keras models: in this process, on workers, and as commands."""

from __future__ import annotations

import logging
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster
from PIL import Image

from latentscan.encoding.cost import PlannedEncoding
from latentscan.encoding.encode import encode_images
from latentscan.encoding.parameters import Encode, EncodeParameters
from latentscan.encoding.prepare import prepare
from latentscan.errors import UsageError
from latentscan.execution.distributed import DistributedExecutor
from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import SILENT
from tests.cli.commands import latentscan, latentscan_process
from tests.models.onnx_files import linear, onnx_node
from tests.models.onnx_files import save as save_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.execution.executor import Executor

IMAGES = 30
FUNCTION = """
import numpy as np

w = np.linspace(-1, 1, 192 * 3).reshape(192, 3).astype(np.float32)


def encode(pixels):
    return pixels.reshape(len(pixels), -1) @ w


def other(pixels):
    return 1 + encode(pixels)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, an ONNX encoder and decoder, and a Python file."""
    made: Path = tmp_path_factory.mktemp("folder")
    np.save(made / "images.npy", np.random.default_rng(1).integers(0, 256, (IMAGES, 8, 8, 3), np.uint8))
    linear(made / "e.onnx", save_as_external_data=True, location="e.onnx.data", size_threshold=0)
    nodes = [
        onnx_node("MatMul", ["image", "w"], ["values"]),
        onnx_node("Sigmoid", ["values"], ["made"]),
        onnx_node("Reshape", ["made", "sides"], ["images"]),
    ]
    weights = {"w": np.ones((3, 192), np.float32), "sides": np.array([-1, 3, 8, 8])}
    save_onnx(made / "d.onnx", nodes, ("n", 3), {"images": None}, weights)
    (made / "my.py").write_text(FUNCTION)
    return made


@pytest.fixture(scope="module")
def worker() -> Iterator[DistributedExecutor]:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as started,
        Client(started) as client,
    ):
        yield DistributedExecutor(client)


def encoded(folder: Path, model: str, store: Path, executor: Executor | None = None) -> dict[str, Any]:
    options: dict[str, Any] = {"chunk_rows": 16, "size": 8, "trust_model": model.startswith("my.py")}
    encode_images(
        *(str(folder / model), str(folder / "images.npy"), str(store), EncodeParameters(**options)),
        open_executor=lambda: nullcontext(executor or IN_PROCESS),
    )
    group = zarr.open_group(str(store), mode="r")
    assert group.attrs["encoder"]["name"] == model  # type: ignore[index, call-overload]
    return {name: np.asarray(group[name][:]) for name in ("mu", "logvar", "z") if name in group}  # type: ignore[index]


@pytest.mark.parametrize("model", ["e.onnx", "my.py:encode"])
def test_workers_give_the_same_bits(
    folder: Path, tmp_path: Path, worker: DistributedExecutor, model: str
) -> None:
    own = encoded(folder, model, tmp_path / "own.zarr")
    for name, values in encoded(folder, model, tmp_path / "theirs.zarr", worker).items():
        np.testing.assert_array_equal(values, own[name])
        assert np.isfinite(values).all()


def test_a_store_is_gone_on_with_by_the_same_function_alone(folder: Path, tmp_path: Path) -> None:
    encoded(folder, "my.py:encode", tmp_path / "z.zarr")
    encoded(folder, "my.py:encode", tmp_path / "z.zarr")
    with pytest.raises(UsageError, match=r"begun with encoder\.function = encode, now it is other"):
        encoded(folder, "my.py:other", tmp_path / "z.zarr")


def test_the_commands_start_no_tensorflow(folder: Path, tmp_path: Path) -> None:
    words = ("encode", "--model", "e.onnx", "--images", "images.npy", "--store", tmp_path / "z.zarr")
    done = latentscan_process(*words, cwd=folder, interpreter=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert any(line.startswith("pixels of 0..1 are assumed for encoder e.onnx") for line in said)
    assert not any("TensorFlow" in line or "onnxruntime" in line for line in said)
    assert re.search(r"\| +onnxruntime$", done.stderr, re.MULTILINE)
    assert not re.search(r"\| +(tensorflow|keras)$", done.stderr, re.MULTILINE)
    pictures = []
    for name in ("one.png", "two.png"):
        made = latentscan(
            *("generate", "--model", "d.onnx", "--normal", "--count", 4, "--out", tmp_path / name), cwd=folder
        )
        assert (made.returncode, "TensorFlow" in made.stderr) == (0, False), made.stderr
        with Image.open(tmp_path / name) as image:
            pictures.append(np.asarray(image))
    assert len(np.unique(pictures[0])) > 2
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_a_function_is_run_by_those_alone_who_trust_it(folder: Path, tmp_path: Path) -> None:
    words = ("encode", "--model", "my.py:encode", "--size", "8", "--images", "images.npy")
    done = latentscan(*words, "--store", tmp_path / "z.zarr", cwd=folder)
    assert done.returncode == 6
    assert "--trust-model" in done.stderr
    assert not (tmp_path / "z.zarr").exists()
    done = latentscan(*words, "--store", tmp_path / "z.zarr", "--trust-model", cwd=folder)
    assert done.returncode == 0, done.stderr


def test_what_a_function_would_cost_is_planned(folder: Path) -> None:
    asked = Encode(images=str(folder / "images.npy"), model=str(folder / "my.py:encode"))
    assert PlannedEncoding(asked, str(folder / "my.py:encode")).schema() is None


def notes_of(folder: Path, images: str, store: Path, **options: Any) -> list[str]:
    parameters = EncodeParameters(**{"chunk_rows": 16, "size": 8, **options})
    (prepared,) = prepare([str(folder / "e.onnx")], str(folder / images), [str(store)], parameters, SILENT)
    return list(prepared.notes)


@pytest.mark.parametrize(
    ("name", "scale", "shift", "found"),
    [
        ("bytes", 255, 0, r"0\..*\.\.25[45]"),
        ("signed", 2, -1, r"-0\.99.*\.\.0\.99.*|-1\.\.1"),
        ("unit", 1, 0, ""),
    ],
)
def test_floats_of_another_range_are_a_warning(
    folder: Path, tmp_path: Path, name: str, scale: float, shift: float, found: str
) -> None:
    floats = np.random.default_rng(3).uniform(0, 1, (IMAGES, 8, 8, 3)).astype(np.float32)
    np.save(folder / f"{name}.npy", floats * scale + shift)
    for options in ({}, {"value_range": (0.0, 1.0)}):
        said = notes_of(folder, f"{name}.npy", tmp_path / "z.zarr", **options)
        warnings = [line for line in said if "WARNING" in line]
        assumed = [line for line in said if "0..1 are assumed" in line]
        assert len(warnings) == bool(found)
        assert len(assumed) == (not found and not options)
        assert all(re.search(f"are floats of ({found}), not of 0..1", line) for line in warnings)


def test_a_store_says_that_its_images_have_another_name_now(folder: Path, tmp_path: Path) -> None:
    encoded(folder, "e.onnx", tmp_path / "z.zarr")
    np.save(folder / "others.npy", 255 - np.load(folder / "images.npy"))
    said = notes_of(folder, "others.npy", tmp_path / "z.zarr")
    assert any("was begun with images of images.npy, now they are of others.npy" in line for line in said)
    said = notes_of(folder, "images.npy", tmp_path / "z.zarr")
    assert not any("was begun with" in line for line in said)

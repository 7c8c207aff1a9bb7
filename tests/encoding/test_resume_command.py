"""What a store says of the command that writes the rest of it: it is run, somewhere else, and does so."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import zarr
from PIL import Image
from typer.testing import CliRunner

from latentscan.cli.app import app
from latentscan.encoding.encode import encode_images
from latentscan.encoding.ingest import ingest
from latentscan.encoding.parameters import EncodeParameters
from latentscan.encoding.resume_command import OF_ONE_RUN, encode_command
from latentscan.errors import spelled
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.backend import versions
from latentscan.models.networks import build_encoder
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import RunFolder, RunRecord
from latentscan.scan.rejects import Summary
from latentscan.store.reader import open_store
from latentscan.store.writer import retract_blocks

SIZE = 32

VALUES: dict[str, Any] = {  # none of them what is taken where the field is left out
    "crop": 20,
    "size": (40, 48),
    "resampling": "box",
    "value_range": (-1.5, 1.0),
    "loader": "tf",
    "orientation": "stored",
    "alpha": "black",
    "channels": "bgr",
    "fit": "pad",
    "mean": (0.5, 0.25, 0.125),
    "std": (0.5,),
    "root": "/some where",
    "attributes": "/some where/a.csv",
    "chunk_rows": 7,
    "seed": 0,
    "epsilon_limit": 0.0,
    "epsilon_factor": 0.1234567890123,
    "compression": "zstd",
    "outputs": "mu=1,logvar=0",
    "pixel_limit": 5000,
    "override_preprocessing": True,
    "layer": "encoder",
    "custom_objects": "/some where/own_layers.py",
    "trust_model": True,
}


def command_of(parameters: EncodeParameters) -> str:
    return encode_command("/run", "/faces", "/z.zarr", parameters)


def test_there_is_a_value_to_try_for_every_field() -> None:
    assert set(VALUES) == set(EncodeParameters.model_fields) - OF_ONE_RUN


@pytest.mark.parametrize("name", VALUES)
def test_every_field_that_was_set_is_in_the_command(name: str) -> None:
    parameters = EncodeParameters(**{name: VALUES[name]})
    words = shlex.split(spelled(command_of(parameters), "command line"))
    usual = shlex.split(spelled(command_of(EncodeParameters()), "command line"))
    flag = f"--{name.replace('_', '-')}"
    assert flag in words
    assert flag not in usual
    assert len(words) == len(usual) + (1 if VALUES[name] is True else 2)


@pytest.mark.parametrize("parameters", [EncodeParameters(**VALUES), EncodeParameters(trust_model=False)])
def test_the_command_line_reads_what_was_set(
    parameters: EncodeParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost on the way through the words, not a digit of a factor."""
    read = []

    def encode(
        models: list[str], images: str, stores: list[str], asked: EncodeParameters, **_: Any
    ) -> list[Summary]:
        read.append((models, images, stores, asked))
        return [Summary(0, 0)]

    monkeypatch.setattr("latentscan.encoding.encode.encode_all", encode)
    words = shlex.split(spelled(command_of(parameters), "command line"))
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    assert read == [(["/run"], "/faces", ["/z.zarr"], parameters)]
    assert read[0][3].model_fields_set == parameters.model_fields_set


def test_places_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    mark = encode_command("run", "s3://b/faces", "z.zarr", EncodeParameters(root="x"))
    words = shlex.split(spelled(mark, "command line"))
    assert {str(here / "run"), "s3://b/faces", str(here / "z.zarr"), str(here / "x")} <= set(words)


def test_ingest_says_all_that_it_was_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", a=np.zeros((3, 2), np.float32), b=np.zeros((3, 2), np.float32))
    (tmp_path / "paths.txt").write_text("a.png\nb.png\nc.png\n")
    (tmp_path / "labels.csv").write_text("path,size\na.png,5\nb.png,6\nc.png,7\n")
    tables: dict[str, Any] = {"paths": f"{tmp_path}/paths.txt", "attributes": f"{tmp_path}/labels.csv"}
    ingest({"z": f"{tmp_path}/z.npz:a"}, str(tmp_path / "z.zarr"), **tables)
    words = shlex.split(open_store(str(tmp_path / "z.zarr")).resume_command)
    own = set(inspect.signature(ingest).parameters) - {"files", "location", "executor", "progress"}
    flags = {f"--{name.replace('_', '-')}" for name in (*own, "z", "store")}
    assert {word for word in words if word.startswith("--")} == flags
    assert {f"{tmp_path}/z.npz:a", *tables.values()} <= set(words)


@dataclass(frozen=True)
class Site:
    """A folder with models and images of every kind, in which stores are written."""

    folder: Path
    stores: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def encode(self, name: str, model: str, images: str, **options: Any) -> None:
        """Write a store; all paths are relative to the folder, which is the working directory."""
        encode_images(model, images, f"{name}.zarr", EncodeParameters(chunk_rows=8, **options))
        self.stores[name] = files(self.folder / f"{name}.zarr")

    def lose(self, name: str) -> list[str]:
        """Lose two blocks of a store, and return the words of the command that writes them."""
        store = self.folder / f"{name}.zarr"
        retract_blocks(str(store), [0, 2])
        for array in ("mu", "logvar", "z", "path", "status", "split", "attribute"):
            for chunk in (0, 2):
                found = store / array / "c" / str(chunk)
                shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
        assert not open_store(str(store)).committed().all()
        words = shlex.split(open_store(str(store)).resume_command)
        assert words[0] == "latentscan"
        return words[1:]


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def save_run(folder: Path) -> None:
    """Write a run folder as a training leaves it, but for the training."""
    parameters = TrainParameters(kind="vae", z_dim=3, filters=(4, 8), epsilon_limit=2)
    run = RunFolder(folder)
    build_encoder(parameters, SIZE).save(_made(run.encoder))
    run.write_record(
        RunRecord(
            parameters=parameters,
            preprocessing=Preprocessing(size=SIZE),
            source={},
            versions=versions(),
            starts=(),
        )
    )


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def save_models(folder: Path, model: Path) -> None:
    shutil.copy(model, folder / "encoder.keras")
    loaded = keras.models.load_model(model)
    loaded.save(folder / "old.h5")
    inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    heads = [keras.layers.Dense(3, name=name)(x) for name in ("z_mean", "z_log_var")]
    keras.Model(inputs, heads).save(folder / "any.keras")
    save_run(folder / "run")


def save_images(folder: Path, faces: Path) -> None:
    shutil.copytree(faces, folder / "celeba")
    (folder / "plain").mkdir()
    for number, face in enumerate(sorted((faces / "img_align_celeba").iterdir())[:20]):
        shutil.copy(face, folder / "plain" / f"{number}.jpg")
    Image.new("RGB", (300, 300), "red").save(folder / "plain" / "large.png")
    (folder / "lists").mkdir()
    (folder / "lists" / "some.txt").write_text("".join(f"{number}.jpg\n" for number in range(18)))
    pixels = np.random.default_rng(2).integers(0, 256, (22, SIZE, SIZE, 3), np.uint8)
    np.save(folder / "pixels.npy", pixels)
    zarr.create_array(str(folder / "pixels.zarr"), data=pixels, chunks=(8, SIZE, SIZE, 3))


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "folder": (
        "encoder.keras",
        "plain",
        {"seed": 7, "epsilon_limit": 0.5, "epsilon_factor": 0.1234567890123, "pixel_limit": 50_000},
    ),
    "celeba": (
        "run",
        "celeba",
        {"crop": 100, "value_range": (-1, 1), "override_preprocessing": True, "compression": "lz4"},
    ),
    "list": ("encoder.keras", "lists/some.txt", {"root": "plain", "outputs": "mu=1,logvar=0"}),
    "npy": ("old.h5", "pixels.npy", {"trust_model": True, "retry_rejected": True}),
    "zarr": ("any.keras", "pixels.zarr", {"size": 24, "resampling": "box", "compression": "zstd"}),
}


@pytest.fixture(scope="module")
def site(model: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """All cases as they were written at first, then with two blocks lost, then resumed elsewhere."""
    folder: Path = tmp_path_factory.mktemp("a site")
    save_models(folder, model)
    save_images(folder, faces)
    site = Site(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, (encoder, images, options) in CASES.items():
            site.encode(name, encoder, images, **options)
        rng = np.random.default_rng(3)
        for name in ("mu", "logvar", "z"):
            np.save(f"{name}.npy", rng.standard_normal((30, 4)))
        latents = {name: Path(f"{name}.npy") for name in ("mu", "logvar", "z")}
        ingest(latents, "ingest.zarr", chunk_rows=8, compression="zstd")
        site.stores["ingest"] = files(folder / "ingest.zarr")
    resume({name: site.lose(name) for name in site.stores}, elsewhere=tmp_path_factory.mktemp("elsewhere"))
    return site


def resume(commands: dict[str, list[str]], *, elsewhere: Path) -> None:
    """Run commands in a process that has another working directory: one, since Keras takes long to start."""
    script = """
import json, sys
from latentscan.cli.app import app
for name, words in json.load(sys.stdin).items():
    code = app(words, standalone_mode=False)
    assert code in (None, 0, 3), (name, words, code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(commands),
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*CASES, "ingest"])
def test_the_command_writes_the_rest_from_another_directory(site: Site, name: str) -> None:
    store = site.folder / f"{name}.zarr"
    assert open_store(str(store)).committed().all()
    assert files(store) == site.stores[name]

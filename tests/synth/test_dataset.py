from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from latentscan.errors import ParameterError, UsageError
from latentscan.synth.dataset import synthesize
from latentscan.synth.parameters import ATTRIBUTES
from latentscan.synth.population import draw_face

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from latentscan.progress import Advance


class Watcher:
    def __init__(self) -> None:
        self.started: list[tuple[str, int, str, int]] = []
        self.advanced = 0

    @contextmanager
    def task(self, label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.started.append((label, total, unit, done))

        def advance(amount: int, /, **figures: float) -> None:
            self.advanced += amount

        yield advance


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "faces"
    assert synthesize(directory, 150, seed=5, workers=1) == 150
    return directory


def test_layout_and_formats_are_celebas(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "img_align_celeba").iterdir())
    assert names == [f"{number:06d}.jpg" for number in range(1, 151)]
    with Image.open(whole / "img_align_celeba" / "000150.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (178, 218))
    lines = (whole / "list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "150"
    assert lines[1].split(" ") == list(ATTRIBUTES)
    assert len(lines) == 152
    for number, line in enumerate(lines[2:], start=1):
        assert line[:10] == f"{number:06d}.jpg"
        values = [line[start : start + 3] for start in range(10, len(line), 3)]
        held = draw_face(5, number - 1).attributes
        assert values == ["  1" if name in held else " -1" for name in ATTRIBUTES]


def test_partition_is_contiguous_in_celebas_proportions(whole: Path) -> None:
    rows = [line.split(" ") for line in (whole / "list_eval_partition.txt").read_text().splitlines()]
    assert [name for name, _ in rows] == [f"{number:06d}.jpg" for number in range(1, 151)]
    assert "".join(part for _, part in rows) == "0" * 121 + "1" * 14 + "2" * 15


def test_processes_write_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, 150, seed=5, workers=2)
    assert contents(tmp_path) == contents(whole)


def test_a_data_set_is_completed_and_enlarged_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    assert synthesize(tmp_path, 20, seed=5, workers=1) == 20
    lost, damaged = (
        tmp_path / "img_align_celeba" / "000007.jpg",
        tmp_path / "img_align_celeba" / ".000020.jpg.part",
    )
    lost.unlink()
    damaged.write_bytes(b"begun")
    (tmp_path / "img_align_celeba" / "000020.jpg").unlink()
    (tmp_path / "list_attr_celeba.txt").unlink()
    watcher = Watcher()
    assert synthesize(tmp_path, 150, seed=5, workers=1, progress=watcher) == 132
    assert watcher.started == [("synth", 150, "images", 18)]
    assert watcher.advanced == 132
    assert contents(tmp_path) == contents(whole)


def test_nothing_is_painted_twice(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "img_align_celeba").iterdir()}
    assert synthesize(whole, 150, seed=5) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_seed_is_refused(whole: Path) -> None:
    before = contents(whole)
    with pytest.raises(ParameterError) as caught:
        synthesize(whole, 150, seed=6)
    assert (caught.value.field, caught.value.value) == ("seed", 6)
    assert "--seed 5" in caught.value.spelled("command line")
    assert contents(whole) == before


def test_fewer_images_are_refused(whole: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        synthesize(whole, 10, seed=5)
    assert (caught.value.field, caught.value.value) == ("images", 10)
    assert "--images 150" in caught.value.spelled("command line")


@pytest.mark.parametrize("name", ["notes.txt", "img_align_celeba/cat.png"])
@pytest.mark.parametrize("recorded", [False, True])
def test_foreign_files_are_refused(tmp_path: Path, name: str, recorded: bool) -> None:
    if recorded:
        synthesize(tmp_path, 1, workers=1)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"not of a synthetic data set"):
        synthesize(tmp_path, 1)
    assert (tmp_path / name).read_text() == "mine"


def test_a_real_celeba_is_refused(tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "img_align_celeba" / "000001.jpg").write_bytes(b"a photograph")
    with pytest.raises(UsageError, match="img_align_celeba"):
        synthesize(tmp_path, 5)


@pytest.mark.parametrize("text", ["", "[]", '{"seed": 0}', '{"format": 1, "seed": "x", "images": 1}'])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "synth.json").write_text(text)
    with pytest.raises(UsageError, match=r"synth\.json is no record"):
        synthesize(tmp_path, 1)


@pytest.mark.parametrize(("images", "seed", "workers"), [(0, 0, 1), (5, -1, 1), (5, 2**64, 1), (5, 0, 0)])
def test_parameters_out_of_range_are_refused(tmp_path: Path, images: int, seed: int, workers: int) -> None:
    with pytest.raises(ParameterError) as caught:
        synthesize(tmp_path, images, seed=seed, workers=workers)
    assert caught.value.field == ("images" if not images else "workers" if not workers else "seed")
    assert not list(tmp_path.iterdir())


def test_the_record_says_what_was_asked_for(whole: Path) -> None:
    assert json.loads((whole / "synth.json").read_text()) == {"format": 1, "seed": 5, "images": 150}

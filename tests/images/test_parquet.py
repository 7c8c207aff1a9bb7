"""Images in Parquet files: the rows, the pixels and the reasons of the same images in a folder."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError, UsageError
from latentscan.images import parquet
from latentscan.images.location import exists
from latentscan.images.source import Status
from tests.images.archives import LIMIT, NAMES, assert_same, fill, in_threads
from tests.images.pictures import SMALL, colours, opened, paint_all

if TYPE_CHECKING:
    from pathlib import Path

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
BYTES = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def images_of(folder: Path, names: list[str], *, paths: bool = True) -> list[Any]:
    return [{"bytes": (folder / name).read_bytes(), "path": name if paths else None} for name in names]


def write(file: Path, rows: list[Any], kind: Any = BYTES, group: int = 4, **others: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = {**others, "image": pa.array(rows, kind)}
    pq.write_table(pa.table(columns), file, row_group_size=group)
    return file


@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary"])
@pytest.mark.parametrize("files", [1, 3])
def test_a_table_has_the_rows_of_the_folder(tmp_path: Path, kind: str, files: int) -> None:
    folder = fill(tmp_path / "faces")
    local = opened(folder, pixel_limit=LIMIT)
    names = list(local.paths)
    assert sorted(names) == sorted(NAMES)
    rows, own = images_of(folder, names), BYTES
    if kind != "struct":
        rows, own = [row["bytes"] for row in rows], getattr(pa, kind)()
    step = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * step : (number + 1) * step]
        write(tmp_path / f"t/data/all-{number:05d}-of-{files:05d}.parquet", part, own)
    source = opened(tmp_path / "t", pixel_limit=LIMIT)
    assert source.describe()["kind"] == "parquet"
    assert list(source.paths) == (names if kind == "struct" else [str(row) for row in range(len(names))])
    expected = local.read(0, len(local))
    assert_same(source.read(0, len(source)), expected)
    assert_same(source.take([8, 0, 8]), local.take([8, 0, 8]))
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - pickled here
    assert again is not source
    for threads in (1, 4):
        found = in_threads(again, threads)
        np.testing.assert_array_equal(np.concatenate([row.values for row in found]), expected.values)
    assert (source.split, source.notes) == (None, ())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Twelve small pictures in a folder, whose colours are their numbers."""
    paint_all(tmp_path / "faces", [f"{number}.png" for number in range(12)])
    return tmp_path / "faces"


def numbered(count: int = 12) -> list[str]:
    return [f"{number}.png" for number in range(count)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, 0) for name in ("train", "Training", "trainset", "train-00000-of-00001", "train_1")),
        *((name, 1) for name in ("valid", "validation", "val", "dev", "development")),
        *((name, 2) for name in ("test", "testing", "testset")),
        *((name, None) for name in ("values", "valley-1", "devices", "trains", "testimony", "contest")),
    ],
)
def test_a_part_is_a_word_of_its_own(tmp_path: Path, small: Path, name: str, split: int | None) -> None:
    found = opened(write(tmp_path / f"{name}.parquet", images_of(small, numbered(1)))).split
    assert (None if found is None else found.tolist()) == (None if split is None else [split])


def test_parts_and_other_columns_are_known(tmp_path: Path, small: Path) -> None:
    rows = images_of(small, numbered(), paths=False)
    for number, part in enumerate(("test", "train", "validation")):
        these = slice(4 * number, 4 * number + 4)
        others = {"Smiling": pa.array([True, False, None, True]), "age": pa.array([20, 31, 42, 53])}
        names = {"name": pa.array([["a", "b", "a", "b"], ["c", "c", "c", "a"], ["b", "b", "b", "b"]][number])}
        write(tmp_path / f"t/{part}-00000-of-00001.parquet", rows[these], **others, **names)
    source = opened(tmp_path / "t")
    assert colours(source.read(0, 12)) == list(range(12))
    assert source.split is not None
    assert source.split.tolist() == [2] * 4 + [0] * 4 + [1] * 4
    assert source.attributes is not None
    assert source.attributes.values("binary").tolist() == [[1], [-1], [0], [1]] * 3
    assert source.attributes.values("integer")[4:6].tolist() == [[20], [31]]
    assert source.attributes.values("text")[[0, 4, 8], 0].tolist() == ["a", "c", "b"]
    assert source.attributes.categories == {"name": ["a", "b", "c"]}


def test_one_file_of_several_says_that_there_are_others(tmp_path: Path, small: Path) -> None:
    rows = images_of(small, numbered())
    for number in range(3):
        write(tmp_path / f"train-{number:05d}-of-00003.parquet", rows[4 * number : 4 * number + 4])
    whole = tmp_path / "train-{00000..00002}-of-00003.parquet"
    (line,) = opened(tmp_path / "train-00001-of-00003.parquet").notes
    assert line.endswith(f"is 1 of 3 files; all of them are {whole.name}, or their folder")
    assert colours(opened(whole).read(0, 12)) == list(range(12))
    assert exists(whole)
    assert exists(f"{whole}:image")
    assert not exists(tmp_path / "train-{00003..00004}-of-00003.parquet")


def test_the_column_is_named_where_it_is_not_plain(tmp_path: Path, small: Path) -> None:
    rows = images_of(small, numbered(4))
    content = [row["bytes"] for row in rows]
    file = write(tmp_path / "a.parquet", rows, mask=pa.array(content[::-1]))
    source = opened(file)
    assert source.notes == ("images: the column image of mask, image",)
    masks = open_source(f"{file}:mask", SMALL)
    assert (colours(source.read(0, 4)), colours(masks.read(0, 4))) == ([0, 1, 2, 3], [3, 2, 1, 0])
    assert masks.describe()["name"] == "a.parquet:mask"
    assert colours(pickle.loads(pickle.dumps(masks)).read(0, 4)) == [3, 2, 1, 0]  # noqa: S301
    pq.write_table(pa.table({"left": content, "right": content, "id": [1, 2, 3, 4]}), tmp_path / "b.parquet")
    with pytest.raises(ParameterError, match=r"left, right: name one, as in b\.parquet:left"):
        opened(tmp_path / "b.parquet")
    with pytest.raises(ParameterError, match="no column middle of images"):
        open_source(f"{tmp_path / 'b.parquet'}:middle", SMALL)
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "c.parquet")
    with pytest.raises(ParameterError, match="no column of images; it has id; expected one of bytes"):
        opened(tmp_path / "c.parquet")


def test_rows_without_an_image_keep_their_place(tmp_path: Path, small: Path) -> None:
    rows = images_of(small, numbered(4))
    rows[1], rows[2] = None, {"bytes": None, "path": "elsewhere.png"}
    source = opened(write(tmp_path / "a.parquet", rows))
    pixels = source.read(0, 4)
    assert pixels.status.tolist() == [0, Status.MISSING, Status.MISSING, 0]
    assert list(source.paths) == ["0", "1", "2", "3"]  # one has no path


@pytest.mark.parametrize("path", ["../1.png", "/1.png", "same.png"])
def test_paths_are_texts_and_each_rows_own(tmp_path: Path, small: Path, path: str) -> None:
    rows = images_of(small, numbered(3))
    for row in rows[1:]:
        row["path"] = path
    assert list(opened(write(tmp_path / "a.parquet", rows)).paths) == ["0", "1", "2"]


def test_a_damaged_group_is_its_own_rows(tmp_path: Path, small: Path) -> None:
    rows = [row["bytes"] for row in images_of(small, numbered())]
    table = pa.table({"image": pa.array(rows, pa.binary())})
    options: dict[str, Any] = {"use_dictionary": False, "compression": "none", "write_page_checksum": True}
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4, **options)
    chunk = pq.read_metadata(tmp_path / "a.parquet").row_group(1).column(0)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 20] ^= 0xFF
    (tmp_path / "a.parquet").write_bytes(content)
    pixels = opened(tmp_path / "a.parquet").read(0, 12)
    assert np.flatnonzero(pixels.status == Status.DAMAGED).tolist() == [4, 5, 6, 7]
    assert "row group 1 of a.parquet cannot be read" in pixels.reasons[4]


@pytest.mark.parametrize("kept", [0, 9, 200, -9])
def test_a_cut_file_is_refused(tmp_path: Path, small: Path, kept: int) -> None:
    file = write(tmp_path / "a.parquet", images_of(small, numbered()))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UsageError, match="no Parquet that can be read"):
        opened(file)


def test_groups_are_held_up_to_a_limit(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.parquet", images_of(small, numbered()), group=2)
    monkeypatch.setattr(parquet, "_HELD_BYTES", 400)
    source = opened(file)
    contents = source.contents  # type: ignore[attr-defined]
    assert colours(source.read(0, 12)) == list(range(12))
    assert 5 in contents._held
    assert len(contents._held) < 6
    monkeypatch.setattr(parquet, "_MOST_GROUP_BYTES", 100)
    with pytest.raises(ParameterError, match="bytes of images; expected at most 100: write it again"):
        opened(file)


def test_a_value_that_is_repeated_without_end_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"image": [bytes(100_000)] * 1000})
    pq.write_table(table, tmp_path / "a.parquet")  # the value is in it once
    assert (tmp_path / "a.parquet").stat().st_size < 20_000
    monkeypatch.setattr(parquet, "_MOST_GROUP_BYTES", 1_000_000)
    pixels = opened(tmp_path / "a.parquet").read(0, 1)
    assert pixels.reasons == {
        0: "row group 0 of a.parquet cannot be read: it holds more bytes, or other rows, than the file says"
    }

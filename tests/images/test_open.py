from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.errors import ParameterError, UnsafeInputError, UsageError
from latentscan.images.arrays import ArraySource
from latentscan.images.folder import natural_key
from latentscan.images.open import open_images
from latentscan.images.preprocessing import Preprocessing
from latentscan.images.source import Status

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.images.source import ImageSource, Pixels

SMALL = Preprocessing(crop="none", size=8, resampling="box")


def paint(file: Path, colour: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, colour, colour)).save(file, "PNG")


def colours(pixels: Pixels) -> list[int]:
    return [int(value) for value in pixels.values[:, 0, 0, 0]]


def opened(location: Path, **options: Any) -> ImageSource:
    return open_images(location, SMALL, **options)


# --- a folder


def test_a_folder_is_listed_in_natural_order(tmp_path: Path) -> None:
    expected = ["b2/1.jpg", "b2/10.JPEG", "b10/1.PNG", "IMG1.webp", "img1.webp", "img2.Tif", "img10.pgm"]
    for colour, path in enumerate(expected):
        paint(tmp_path / path, colour)
    for other in ("notes.txt", ".hidden.jpg", ".cache/1.jpg", "b2/.1.jpg.swp", "b2/thumbs.db", "jpg"):
        paint(tmp_path / other)
    (tmp_path / "empty.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    source = opened(tmp_path)
    assert list(source.paths) == expected == sorted(expected, key=natural_key)
    assert len(source) == 7
    assert source.split is None
    assert source.attributes is None
    assert colours(source.read(0, 7)) == list(range(7))
    assert source.describe() == {
        "kind": "folder",
        "name": tmp_path.name,
        "images": 7,
        "sha256": hashlib.sha256("\n".join(expected).encode()).hexdigest(),
        "pixel_limit": 64_000_000,
    }


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere/1.png")
    paint(tmp_path / "root/a/2.png")
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "elsewhere/self").symlink_to(".")
    (tmp_path / "root/dangling.png").symlink_to("nowhere.png")
    source = opened(tmp_path / "root")
    assert list(source.paths) == ["a/2.png", "dangling.png", "linked/1.png"]
    assert list(source.read(0, 3).status) == [Status.GOOD, Status.MISSING, Status.GOOD]


def test_rows_keep_their_places_when_files_go_bad(tmp_path: Path) -> None:
    for row in range(6):
        paint(tmp_path / f"{row}.png", row)
    source = opened(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes(b"not an image")
    pixels = source.read(0, 6)
    assert colours(pixels) == [0, 0, 2, 0, 0, 5]
    assert list(pixels.status) == [0, Status.MISSING, 0, Status.EMPTY, Status.NOT_AN_IMAGE, 0]
    assert list(pixels.reasons) == [1, 3, 4]
    assert str(tmp_path) not in str(pixels.reasons)
    taken = source.take([5, 1, 0, 5])
    assert colours(taken) == [5, 0, 0, 5]
    assert list(taken.reasons) == [1]
    assert source.read(2, 2).values.shape == (0, 8, 8, 3)


@pytest.mark.parametrize("rows", [[-1], [3], [0, 3]])
def test_rows_outside_are_refused(tmp_path: Path, rows: list[int]) -> None:
    for row in range(3):
        paint(tmp_path / f"{row}.png")
    np.save(tmp_path / "array.npy", np.zeros((3, 8, 8), np.uint8))
    for source in (opened(tmp_path), opened(tmp_path / "array.npy")):
        with pytest.raises(IndexError, match="of a source of 3 images"):
            source.take(rows)
        with pytest.raises(IndexError):
            source.read(rows[0], rows[-1] + 1)


def test_the_pixel_limit_is_passed_on(tmp_path: Path) -> None:
    paint(tmp_path / "1.png")
    assert list(opened(tmp_path, pixel_limit=63).read(0, 1).status) == [Status.TOO_LARGE]
    (tmp_path / "list.txt").write_text("1.png")
    assert list(opened(tmp_path / "list.txt", pixel_limit=63).read(0, 1).status) == [Status.TOO_LARGE]


def test_threads_may_share_a_source_and_processes_a_copy(tmp_path: Path) -> None:
    for row in range(60):
        paint(tmp_path / f"{row}.png", row)
    source: ImageSource = pickle.loads(pickle.dumps(opened(tmp_path)))  # noqa: S301 - pickled here
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda start: colours(source.read(start, start + 10)), range(0, 60, 10))
    assert [colour for part in parts for colour in part] == list(range(60))


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "1.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(UsageError, match="valid Unicode; rename it"):
        opened(tmp_path)


# --- CelebA


def celeba(root: Path, faces: str = "img_align_celeba", suffix: str = ".txt", lists: str = "") -> Path:
    for number in (1, 2, 4):
        paint(root / faces / f"00000{number}.jpg", number)
    (root / lists).mkdir(exist_ok=True)
    if suffix == ".txt":
        attributes = "2\nBald Male \n000001.jpg -1  1\n000003.jpg  1 -1\n"
        partition = "000001.jpg 0\n000002.jpg 2\n000003.jpg 1\n"
    else:
        attributes = "image_id,Bald,Male\r\n000001.jpg,-1,1\r\n000003.jpg,1,-1\r\n"
        partition = "image_id,partition\n000001.jpg,0\n000002.jpg,2\n000003.jpg,1\n"
    (root / lists / f"list_attr_celeba{suffix}").write_bytes(attributes.encode())
    (root / lists / f"list_eval_partition{suffix}").write_bytes(partition.encode())
    return root


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@pytest.mark.parametrize("faces", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
@pytest.mark.parametrize("lists", ["", "Anno"])
def test_celeba_is_read_with_its_lists(tmp_path: Path, faces: str, suffix: str, lists: str) -> None:
    source = opened(celeba(tmp_path, faces, suffix, lists))
    assert list(source.paths) == [f"00000{number}.jpg" for number in (1, 2, 3, 4)]
    assert source.split is not None
    assert source.attributes is not None
    assert source.split.dtype == source.attributes.values.dtype == np.int8
    assert list(source.split) == [0, 2, 1, -1]
    assert source.attributes.labels == ("Bald", "Male")
    assert source.attributes.values.tolist() == [[-1, 1], [0, 0], [1, -1], [0, 0]]
    pixels = source.read(0, 4)
    assert colours(pixels) == [1, 2, 0, 4]
    assert list(pixels.status) == [0, 0, Status.MISSING, 0]
    assert source.describe()["kind"] == "celeba"


def test_celeba_needs_no_lists(tmp_path: Path) -> None:
    paint(tmp_path / "img_align_celeba/000001.jpg")
    source = opened(tmp_path)
    assert (list(source.paths), source.split, source.attributes) == (["000001.jpg"], None, None)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list_attr_celeba.txt", "", "line 1: ''; expected the number of images"),
        ("list_attr_celeba.txt", "a b\n1.jpg 1 1\n", "line 1: 'a b'; expected the number of images"),
        ("list_attr_celeba.txt", "1\n", "no header"),
        ("list_attr_celeba.txt", "2\na b\n1.jpg 1 1\n", "line 1: 2 images announced, but 1 listed"),
        ("list_attr_celeba.txt", "1\na b\n1.jpg 1\n", "line 3: 2 fields; expected a file name and 2"),
        ("list_attr_celeba.txt", "1\na b\n1.jpg 1 2\n", "line 3: attribute '2'; expected 1 or -1"),
        ("list_attr_celeba.txt", "1\na b\n\n1.jpg 1 x\n", "line 4: attribute 'x'"),
        ("list_attr_celeba.txt", "1\na\n../1.jpg 1\n", "line 3: '../1.jpg' is no path below the root"),
        ("list_attr_celeba.txt", "1\na\n/1.jpg 1\n", "line 3: '/1.jpg' is no path below the root"),
        ("list_attr_celeba.csv", "", "no header"),
        ("list_attr_celeba.csv", "image_id,a\n1.jpg,0\n", "line 2: attribute '0'"),
        ("list_eval_partition.txt", "1.jpg 0\n1.jpg 3\n", "line 2: '1.jpg' is listed twice"),
        ("list_eval_partition.txt", "1.jpg 3\n", "line 1: partition '3'; expected 0"),
        ("list_eval_partition.txt", "1.jpg\n", "line 1: 1 fields"),
        ("list_eval_partition.csv", "image_id,partition\n1.jpg,a\n", "line 2: partition 'a'"),
        ("list_eval_partition.txt", "1.jpg 0\n\xff", "cannot be read"),
    ],
)
def test_malformed_lists_of_celeba(tmp_path: Path, name: str, text: str, message: str) -> None:
    paint(tmp_path / "img_align_celeba/1.jpg")
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        opened(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


# --- a list


LISTS = {
    "text.txt": "# faces\n\n  b/2.png  \n./b//1.png\nb/gone.png\nb/2.png\n",
    "bom.txt": "\ufeffb/2.png\nb/1.png\nb/gone.png\nb/2.png",
    "windows.txt": "b/2.png\r\nb/1.png\r\nb/gone.png\r\nb/2.png\r\n",
    "named.csv": "id,Path\n0,b/2.png\n1,b/1.png\n2,b/gone.png\n3,b/2.png\n",
    "first.csv": "what,id\nb/2.png,0\n\nb/1.png,1\nb/gone.png,2\nb/2.png,3\n",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("apart", ["beside", "apart"])
def test_a_list_gives_rows_in_its_order(tmp_path: Path, name: str, apart: str) -> None:
    root = tmp_path if apart == "beside" else tmp_path / "images"
    paint(root / "b/1.png", 1)
    paint(root / "b/2.png", 2)
    (tmp_path / name).write_bytes(LISTS[name].encode())
    source = opened(tmp_path / name, root=None if apart == "beside" else root)
    assert list(source.paths) == ["b/2.png", "b/1.png", "b/gone.png", "b/2.png"]
    pixels = source.read(0, 4)
    assert colours(pixels) == [2, 1, 0, 2]
    assert list(pixels.status) == [0, 0, Status.MISSING, 0]
    assert source.split is None
    assert source.describe()["kind"] == "list"
    assert source.describe()["name"] == name


def test_a_list_may_have_a_split(tmp_path: Path) -> None:
    words = ["train", "valid", "Val", "test", "0", "1", "2", ""]
    (tmp_path / "list.csv").write_text("split,file\n" + "".join(f"{word},{word}.png\n" for word in words))
    source = opened(tmp_path / "list.csv")
    assert source.split is not None
    assert source.split.tolist() == [0, 1, 1, 2, 0, 1, 2, -1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "1.png\n../1.png\n", "line 2: '../1.png' is no path below the root"),
        ("list.txt", "a/../../1.png\n", "line 1: 'a/../../1.png' is no path"),
        ("list.txt", "a\\..\\1.png\n", "is no path below the root"),
        ("list.txt", "/etc/1.png\n", "line 1: '/etc/1.png' is no path"),
        ("list.txt", "C:\\1.png\n", "is no path below the root"),
        ("list.txt", "1\0.png\n", "is no path below the root"),
        ("list.txt", "# nothing\n\n", "lists no images"),
        ("list.txt", "caf\xe9.png\n", "cannot be read"),
        ("list.csv", "", "lists no images"),
        ("list.csv", "path\n", "lists no images"),
        ("list.csv", "1.png\n2.png\n", "line 1: '1.png' is an image; expected a header"),
        ("list.csv", "path,split\n1.png,train\n2.png\n", "line 3: 1 fields; expected 2"),
        ("list.csv", "path,split\n1.png,holdout\n", "line 2: split 'holdout'; expected train"),
        ("list.csv", "id,path\n1,\n", "line 2: '' is no path"),
        ("list.csv", "path\n../1.png\n", "line 2: '../1.png' is no path"),
    ],
)
def test_malformed_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        opened(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


# --- an array


@pytest.mark.parametrize("shape", [(5, 8, 8, 3), (5, 8, 8)])
def test_an_array_gives_its_rows(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "faces.npy", values)
    source = opened(tmp_path / "faces.npy")
    expected = values if values.ndim == 4 else np.repeat(values[..., None], 3, axis=3)
    np.testing.assert_array_equal(source.read(1, 4).values, expected[1:4])
    np.testing.assert_array_equal(source.take([4, 0, 4]).values, expected[[4, 0, 4]])
    assert list(source.paths) == ["0", "1", "2", "3", "4"]
    assert (source.split, source.attributes) == (None, None)
    assert source.describe()["kind"] == "array"
    assert source.describe()["name"] == "faces.npy"


def test_an_array_is_prepared_as_files_are(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    for row in range(2):
        Image.fromarray(values[row]).save(tmp_path / f"{row}.png")
    preprocessing = Preprocessing(crop=24, size=12)
    files = open_images(tmp_path, preprocessing).read(0, 2)
    array = ArraySource(np.asfortranarray(values), "memory", preprocessing)
    np.testing.assert_array_equal(array.read(0, 2).values, files.values)
    too_large = ArraySource(values, "memory", Preprocessing(crop=31)).read(0, 2)
    assert list(too_large.status) == [Status.UNSUPPORTED] * 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "float32 with shape (2, 8, 8, 3)"),
        (np.zeros((8, 8), np.uint8), "uint8 with shape (8, 8)"),
        (np.zeros((2, 3, 8, 8), np.uint8), "uint8 with shape (2, 3, 8, 8)"),
        (np.zeros((0, 8, 8), np.uint8), "no images"),
    ],
)
def test_arrays_of_another_kind(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(UsageError, match=r"array\.npy") as caught:
        opened(tmp_path / "array.npy")
    assert message in str(caught.value)


def test_arrays_that_could_run_code_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    for name in ("objects.npy", "pickle.npy"):
        with pytest.raises(UnsafeInputError, match=name):
            opened(tmp_path / name)


@pytest.mark.parametrize("kept", [0, 3, 9, 40, 200])
def test_a_cut_array_is_refused(tmp_path: Path, kept: int) -> None:
    np.save(tmp_path / "array.npy", np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "array.npy").write_bytes((tmp_path / "array.npy").read_bytes()[:kept])
    with pytest.raises(UsageError, match="can be mapped"):
        opened(tmp_path / "array.npy")


# --- nothing of the kind


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "celeba/img_align_celeba").mkdir(parents=True)
    paint(tmp_path / "one.png")
    (tmp_path / "list.txt").write_text("one.png")
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("empty", {}, "images", ".jpg"),
        ("celeba", {}, "images", "unpack CelebA"),
        ("nowhere", {}, "images", "expected a folder"),
        ("nowhere.csv", {}, "images", "does not exist"),
        ("one.png", {}, "images", "expected a folder"),
        ("list.txt", {"root": tmp_path / "nowhere"}, "root", "give the folder"),
        ("empty", {"root": tmp_path}, "root", "leave it out"),
    ]
    for name, options, field, remedy in cases:
        with pytest.raises(ParameterError) as caught:
            opened(tmp_path / name, **options)
        assert caught.value.field == field
        assert str(options.get("root", tmp_path / name)) in str(caught.value)
        assert remedy in caught.value.problem

"""CelebA's layout, with its lists."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images.endings import FIRST_RULES
from latentscan.images.source import Status
from tests.images.pictures import colours, opened, paint

if TYPE_CHECKING:
    from pathlib import Path


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
    assert source.split.dtype == source.attributes.values("binary").dtype == np.int8
    assert list(source.split) == [0, 2, 1, -1]
    assert source.attributes.labels("binary") == ("Bald", "Male")
    assert source.attributes.values("binary").tolist() == [[-1, 1], [0, 0], [1, -1], [0, 0]]
    pixels = source.read(0, 4)
    assert colours(pixels) == [1, 2, 0, 4]
    assert list(pixels.status) == [0, 0, Status.MISSING, 0]
    assert source.describe()["kind"] == "celeba"


@pytest.mark.parametrize(
    ("suffix", "attributes", "partition"),
    [
        (".csv", "image_id;Bald;Male\n000001.jpg;0;1\n000003.jpg;1;0\n", "file;split\n000002.jpg;test\n"),
        (
            ".csv",
            ",image_id,Bald,Male\n0,000001.jpg,0.0,1.0\n1,000003.jpg,1.0,0.0\n",
            "a,split\n000002.jpg,2\n",
        ),
        (
            ".csv",
            "image_id\tBald\tMale\n000001.jpg\tno\tyes\n000003.jpg\tTrue\tFalse\n",
            "path,set\n000002.jpg,2\n",
        ),
        (".txt", "image_id Bald Male\n000001.jpg -1 1\n000003.jpg 1 -1\n", "000002.jpg,2\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_are_read_as_others_wrote_them(
    tmp_path: Path, suffix: str, attributes: str, partition: str, encoding: str
) -> None:
    celeba(tmp_path)
    for name, text in (("list_attr_celeba", attributes), ("list_eval_partition", partition)):
        (tmp_path / f"{name}.txt").unlink()
        (tmp_path / f"{name}{suffix}").write_bytes(text.encode(encoding))
    source = opened(tmp_path)
    assert source.split is not None
    assert source.attributes is not None
    assert list(source.split) == [-1, 2, -1, -1]
    assert source.attributes.labels("binary") == ("Bald", "Male")
    assert source.attributes.values("binary").tolist() == [[-1, 1], [0, 0], [1, -1], [0, 0]]


def test_celeba_needs_no_lists(tmp_path: Path) -> None:
    paint(tmp_path / "img_align_celeba/000001.jpg")
    source = opened(tmp_path)
    assert (list(source.paths), source.split, source.attributes) == (["000001.jpg"], None, None)


def test_lists_may_name_files_by_another_ending(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        paint(tmp_path / f"img_align_celeba/00000{number}.PNG", number)
    (tmp_path / "list_attr_celeba.txt").write_text("2\nMale\n000001.jpg 1\n000003.jpg -1\n")
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n000003.jpg 1\n")
    source = opened(tmp_path)
    assert list(source.paths) == ["000001.PNG", "000002.PNG", "000003.jpg", "000004.PNG"]
    assert source.split is not None
    assert source.attributes is not None
    assert source.split.tolist() == [0, 2, 1, -1]
    assert source.attributes.values("binary").tolist() == [[1], [0], [-1], [0]]
    assert source.read(0, 4).status.tolist() == [0, 0, Status.MISSING, 0]
    then = opened(tmp_path, rules=FIRST_RULES)  # of stores that were begun before this was done
    assert list(then.paths)[:3] == ["000001.jpg", "000001.PNG", "000002.jpg"]
    assert pickle.loads(pickle.dumps(then)).describe() == then.describe()  # noqa: S301 - pickled here
    (line,) = source.notes
    assert line.startswith("CelebA's lists name 2 images otherwise: 00000")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list_attr_celeba.txt", "", "line 1: no header"),
        ("list_attr_celeba.txt", "9" * 5000 + "\na\n1.jpg 1\n", "line 1: '999"),
        ("list_attr_celeba.txt", "-1\na\n1.jpg 1\n", "line 1: '-1'; expected a header"),
        ("list_attr_celeba.txt", "1.0\na\n1.jpg 1\n", "line 1: '1.0'; expected a header"),
        ("list_attr_celeba.txt", "1\na a\n1.jpg 1 1\n", "line 2: 2 columns named 'a'"),
        (
            "list_attr_celeba.txt",
            "1\na\x1b[2J\n1.jpg 1\n",
            "line 2: 'a\\x1b[2J'; expected a header",
        ),
        ("list_attr_celeba.txt", "1\n1.jpg 1\n2.jpg 1\n", "line 2: '1'; expected a header with the names"),
        (
            "list_attr_celeba.txt",
            "1\n" + "a " * 5000 + "\n",
            "line 2: 5,001 columns; expected at most",
        ),
        (
            "list_attr_celeba.txt",
            "1\na\n" + "9" * 5000 + ".jpg 1\n",
            "...' is longer than 4,096 bytes",
        ),
        ("list_attr_celeba.txt", "2\na\n1.jpg 1\n1.jpg 1\n", "line 4: '1.jpg' is listed twice"),
        (
            "list_attr_celeba.txt",
            "1\na\n1\0.jpg 1\n",
            "the text '1\\x00.jpg' is longer than 4,096 bytes or holds a NUL",
        ),
        ("list_attr_celeba.txt", "2\na\n1.jpg 0\n2.jpg -1\n", "line 3: attribute '0'; expected 1 or -1"),
        ("list_attr_celeba.csv", "1.jpg,1\n2.jpg,1\n", "line 1: '1'; expected a header"),
        ("list_eval_partition.csv", "1.jpg,0\n2.jpg,1\n", "line 1: '1.jpg' is an image; expected a header"),
        ("list_eval_partition.txt", "1.jpg " + "9" * 2_000_000, "line 1: has more than"),
        ("list_attr_celeba.txt", "1\n", "no header"),
        ("list_attr_celeba.txt", "2\na b\n1.jpg 1 1\n", "line 1: 2 images announced, but 1 listed"),
        ("list_attr_celeba.txt", "1\na b\n1.jpg 1\n", "line 3: 2 fields; expected 3 as in the header"),
        ("list_attr_celeba.txt", "1\na b\n1.jpg 1 2\n", "line 3: attribute '2'; expected 1 or -1"),
        ("list_attr_celeba.txt", "1\na b\n\n1.jpg 1 x\n", "line 4: attribute 'x'"),
        ("list_attr_celeba.txt", "1\na\n../1.jpg 1\n", "line 3: '../1.jpg' is no path below the root"),
        ("list_attr_celeba.txt", "1\na\n/1.jpg 1\n", "line 3: '/1.jpg' is no path below the root"),
        ("list_attr_celeba.csv", "", "no header"),
        ("list_attr_celeba.csv", "image_id,a\n1.jpg,1\n2.jpg,0.5\n", "line 3: attribute '0.5'"),
        ("list_eval_partition.txt", "1.jpg 0\n1.jpg 2\n", "line 2: '1.jpg' is listed twice"),
        (
            "list_eval_partition.txt",
            "1.jpg 3\n",
            "line 1: partition '3'; expected train, valid, test, 0, 1, 2",
        ),
        ("list_eval_partition.txt", "1.jpg\n", "line 1: 1 fields"),
        ("list_eval_partition.csv", "image_id,partition\n1.jpg,a\n", "line 2: partition 'a'"),
        ("list_eval_partition.txt", "1.jpg 0\n\x81", "cannot be read"),
    ],
)
def test_malformed_lists_of_celeba(tmp_path: Path, name: str, text: str, message: str) -> None:
    paint(tmp_path / "img_align_celeba/1.jpg")
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        opened(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.csv"])
def test_a_list_that_is_no_file_is_not_left_out(tmp_path: Path, name: str) -> None:
    paint(tmp_path / "img_align_celeba/1.jpg")
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"{name}: this list cannot be read \\(a pipe, not a file\\)"):
        opened(tmp_path)

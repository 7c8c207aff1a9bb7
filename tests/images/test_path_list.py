"""Rows that a text or CSV file lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.errors import UsageError
from latentscan.images.source import Status
from tests.images.pictures import colours, opened, paint

if TYPE_CHECKING:
    from pathlib import Path


LISTS = {
    "text.txt": "# faces\n\n  b/2.png  \n./b//1.png\nb/gone.png\nb/2.png\n",
    "bom.txt": "\ufeffb/2.png\nb/1.png\nb/gone.png\nb/2.png",
    "windows.txt": "b/2.png\r\nb/1.png\r\nb/gone.png\r\nb/2.png\r\n",
    "named.csv": "id,Path\n0,b/2.png\n1,b/1.png\n2,b/gone.png\n3,b/2.png\n",
    "tabs.tsv": "id\tfile_name\n0\tb/2.png\n1\tb/1.png\n2\tb/gone.png\n3\tb/2.png\n",
    "bars.csv": "id|file_name\n0|b/2.png\n1|b/1.png\n2|b/gone.png\n3|b/2.png\n",
    "found.csv": ",what\n0,b/2.png\n1,b/1.png\n2,b/gone.png\n3,b/2.png\n",
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
    (tmp_path / "list.csv").write_text("split;file\n" + "".join(f"{word};{word}.png\n" for word in words))
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
        ("list.txt", "1.png\n" + "9" * 5000 + ".png\n", "line 2: '999"),
        ("list.txt", "1.png\n" + "9" * 2_000_000, "line 2: has more than 1,048,576 characters"),
        ("list.csv", "path,path\n1.png,2.png\n", "line 1: 2 columns named 'path'; expected one"),
        ("list.csv", "path,split,split\n1.png,0,1\n", "line 1: 2 columns named 'split'; expected one"),
        ("list.csv", "split\ntrain\n", "line 1: no column with paths; expected one named path, file"),
        ("list.csv", "path,split\n1.png," + "9" * 5000 + "\n", "line 2: split '999"),
        ("list.txt", "# nothing\n\n", "lists no images"),
        ("list.txt", "caf\x81.png\n", "cannot be read"),
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

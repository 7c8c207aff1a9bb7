"""Which row of a table is of which image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.errors import UsageError
from latentscan.images.arrays import RowNumbers
from latentscan.images.joining import join, rows_of
from latentscan.images.source import MISSING
from latentscan.images.table_file import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from latentscan.images.joining import Join

FACES = ["000001.jpg", "000002.jpg", "000010.jpg"]
DEEP = ["a/1.jpg", "b/1.jpg", "b/2.jpg"]


def joined(tmp_path: Path, text: str, paths: Sequence[str]) -> Join:
    (tmp_path / "labels.csv").write_text(text)
    return join(read_table(tmp_path / "labels.csv"), paths)


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["000010.jpg", "000001.jpg", "000002.jpg"], FACES),
        (["img/000010.jpg", "img/000001.jpg", "img/000002.jpg"], FACES),
        (["C:\\x\\000010.jpg", "C:\\x\\000001.jpg", "C:\\x\\000002.jpg"], FACES),
        (["000010", "000001", "000002"], FACES),
        (["000010.png", "000001.png", "000002.png"], FACES),
        (["000010.JPG", "000001.JPG", "000002.JPG"], FACES),
        (["./000010.jpg", "000001.jpg", "000002.jpg"], FACES),
        (["b/2.jpg", "a/1.jpg", "b/1.jpg"], DEEP),
        (["train/b/2.png", "train/a/1.png", "train/b/1.png"], DEEP),
        (["u\u0308.jpg", "a.jpg", "b.jpg"], ["a.jpg", "b.jpg", "\u00fc.jpg"]),
        (["x.tar.gz", "y", "z.v1.2"], ["y.png", "z.v1.2.png", "x.tar.png"]),
    ],
)
@pytest.mark.parametrize("label", ["image_id", "what"])
def test_rows_are_found_by_path(tmp_path: Path, names: list[str], paths: list[str], label: str) -> None:
    text = f"n,{label},flag\n" + "".join(f"{row},{name},1\n" for row, name in enumerate(names, 40))
    found = joined(tmp_path, text, paths)
    assert found.column is not None
    assert found.column.label == label
    assert "joined by path" in found.note
    assert found.rows.tolist() == [1, 2, 0]


def test_numbers_that_lost_their_zeros_are_names(tmp_path: Path) -> None:
    assert joined(tmp_path, "id,flag\n10,1\n1,0\n2,1\n", FACES).rows.tolist() == [1, 2, 0]


def test_labels_that_happen_to_be_names_are_no_paths(tmp_path: Path) -> None:
    paths = [f"{row}.png" for row in range(30)]
    text = "label,age\n" + "".join(f"{row % 10},{row}\n" for row in range(29, -1, -1))
    found = joined(tmp_path, text, paths)
    assert found.column is None
    assert found.rows.tolist() == list(range(30))
    assert "joined by row" in found.note


def test_rows_of_an_array_are_known_by_number_or_order(tmp_path: Path) -> None:
    rows = RowNumbers(range(4))
    by_number = joined(tmp_path, "id,a\n3,x\n0,y\n", rows)
    assert by_number.rows.tolist() == [1, -1, -1, 0]
    assert "2 images have no row" in by_number.note
    for text in (
        "id,a\n1,x\n2,y\n3,z\n4,x\n",
        "file,a\n9.jpg,x\n8.jpg,y\n7.jpg,z\n6.jpg,x\n",
        "a\n5\n0\n1\n2\n",
    ):
        found = joined(tmp_path, text, rows)
        assert (found.column, found.rows.tolist()) == (None, [0, 1, 2, 3])


def test_one_path_may_be_listed_several_times(tmp_path: Path) -> None:
    found = joined(tmp_path, "path,a\n1.png,x\n2.png,y\n", ["2.png", "1.png", "2.png"])
    assert found.rows.tolist() == [1, 0, 1]


def test_a_table_of_more_images_serves_a_part_of_them(tmp_path: Path) -> None:
    found = joined(tmp_path, "path,a\n1.png,x\n2.png,y\n3.png,z\n", ["3.png", "1.png"])
    assert found.rows.tolist() == [2, 0]
    assert "1 row is of no image, and left out" in found.note


def test_images_without_a_row_are_counted(tmp_path: Path) -> None:
    found = joined(tmp_path, "path,a\n1.png,x\n2.png,y\n", ["1.png", "2.png", "3.png"])
    assert found.rows.tolist() == [0, 1, -1]
    assert "1 image has no row: missing values" in found.note


@pytest.mark.parametrize(
    ("text", "paths", "messages"),
    [
        ("path,a\n1.png,x\n1.png,y\n", ["1.png"], ["1 name is there more than once, such as 1.png"]),
        ("path,a\nb/1.png,x\na/1.png,y\n", ["1.png"], ["1 name is there more than once"]),
        ("path,a\n1.jpg,x\n2.jpg,y\n", DEEP, ["1 name is of several images", "1.jpg (a/1.jpg, b/1.jpg)"]),
        (
            "path,a\n1,x\n2,y\n",
            ["1.jpg", "1.png", "2.png"],
            ["1 name is of several images", "(1.jpg, 1.png)"],
        ),
        (
            "path,a\n1.png,x\n8.png,y\n9.png,y\n",
            ["1.png", "2.png"],
            ["2 names match no image, such as 8.png, 9.png", "1 image has no row, such as 2.png"],
        ),
        ("path,a\nx.png,x\ny.png,y\n", ["1.png", "2.png"], ["none of its 2 names matches an image", "x.png"]),
        ("what,a\nx.png,x\ny.png,y\n", ["1.png", "2.png"], ["none of its 2 names matches an image", "1.png"]),
        ("a,b\n5,x\n6,y\n7,z\n", ["1.png", "2.png"], ["3 rows, but 2 images", "'a', 'b'", "named 'path'"]),
    ],
)
def test_what_does_not_fit_is_counted_and_shown(
    tmp_path: Path, text: str, paths: list[str], messages: list[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        joined(tmp_path, text, paths)
    assert str(refused.value).startswith(str(tmp_path / "labels.csv"))
    for message in messages:
        assert message in str(refused.value)


def test_absent_rows_are_missing_values(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c,d\n1,5,0.5,x\n0,6,1.5,y\n")
    for column in read_table(tmp_path / "a.csv").columns:
        found = rows_of(column, np.array([1, -1, 0]))
        np.testing.assert_array_equal(found.values[1], MISSING[column.kind])
        assert [found.values[0], found.values[2]] == [column.values[1], column.values[0]]
        assert found.values.dtype == column.values.dtype

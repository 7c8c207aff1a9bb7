"""Images with what a table says of them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latentscan.encoding.sources import open_source
from latentscan.errors import UsageError
from latentscan.images import reopen
from latentscan.images.labelled import label, open_attributes, sha256_of
from tests.images.pictures import SMALL, opened, paint
from tests.images.test_celeba import celeba

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_adds_to_what_is_known_and_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image_id,Male,age\n000001.jpg,0,30\n000004.jpg,1,40\n")
    source = label(opened(celeba(tmp_path)), tmp_path / "labels.csv")
    assert source.attributes is not None
    assert source.attributes.labels("binary") == ("Bald", "Male")
    assert source.attributes.values("binary").tolist() == [[-1, -1], [0, 0], [1, 0], [0, 1]]
    assert source.attributes.values("integer")[[0, 3]].tolist() == [[30], [40]]
    assert source.split is not None
    np.testing.assert_array_equal(source.read(0, 2).values, source.source.read(0, 2).values)


def test_what_is_to_be_said_of_the_images_is_said_once(tmp_path: Path) -> None:
    paint(tmp_path / "faces/a.png", 1)
    (tmp_path / "faces/notes.txt").write_text("")
    (tmp_path / "labels.csv").write_text("age\n30\n")
    source = label(opened(tmp_path / "faces"), tmp_path / "labels.csv")
    assert source.notes[0] == "passed over: 1 of other endings (.txt)"
    assert len(source.notes) == 2


def test_it_is_opened_again_by_its_files(tmp_path: Path) -> None:
    paint(tmp_path / "faces/a.png", 1)
    (tmp_path / "labels.csv").write_text("age\n30\n")
    source = open_source(tmp_path / "faces", SMALL, attributes=str(tmp_path / "labels.csv"))
    sent = pickle.dumps(source)
    assert len(sent) < 4000
    assert pickle.loads(sent).attributes.values("integer").tolist() == [[30]]  # noqa: S301
    reopen._reopened.cache_clear()
    (tmp_path / "labels.csv").write_text("age\n31\n")
    with pytest.raises(UsageError, match="attributes_sha256 is"):
        pickle.loads(sent)  # noqa: S301


def test_columns_without_a_name_get_one_and_paths_are_no_attribute(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(",path,,age\n0,a.png,x,5\n1,b.png,y,6\n")
    attributes, notes = open_attributes(tmp_path / "labels.csv", ["b.png", "a.png"])
    assert [column.label for column in attributes.columns] == ["column 3", "age"]
    assert attributes.values("integer").tolist() == [[6], [5]]
    assert notes == (f"{tmp_path}/labels.csv, column 'path': joined by path. Attributes: 1 text, 1 integer",)
    (tmp_path / "labels.csv").write_text("path\na.png\nb.png\n")
    with pytest.raises(UsageError, match="has no column besides the paths"):
        open_attributes(tmp_path / "labels.csv", ["a.png", "b.png"])


def test_the_hash_is_of_what_is_known_and_not_of_the_file(tmp_path: Path) -> None:
    hashes = []
    for text in ("path,a\n1.png,5\n2.png,6\n", "a;path\n6;2\n5;1\n", "path,a\n1.png,5\n2.png,7\n"):
        (tmp_path / "labels.csv").write_text(text)
        hashes.append(sha256_of(open_attributes(tmp_path / "labels.csv", ["1.png", "2.png"])[0]))
    assert hashes[0] == hashes[1] != hashes[2]

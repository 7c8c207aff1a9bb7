"""What is no source of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latentscan.errors import ParameterError
from tests.images.pictures import opened, paint

if TYPE_CHECKING:
    from pathlib import Path


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

"""Image files at URLs."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import fsspec  # type: ignore[import-untyped]
import numpy as np
import pytest
import zarr
from PIL import Image

from latentscan.errors import LatentscanError, ParameterError, UsageError
from latentscan.images.folder import FileSource, natural_key
from latentscan.images.open import open_images
from latentscan.images.source import Status
from latentscan.paths import RemotePath
from latentscan.store.image_array import is_zarr, open_array_source
from latentscan.synth.dataset import synthesize
from tests.images.pictures import SMALL, paint_all, upload

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.images.source import ImageSource


@pytest.fixture(params=["s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of every kind."""
    return str(request.getfixturevalue("s3")) if request.param == "s3" else f"memory://{tmp_path.name}"


def assert_same(source: ImageSource, local: ImageSource) -> None:
    """The same rows in the same order, with the same pixels and reasons, described in the same way."""
    assert source.describe() == local.describe()
    assert list(source.paths) == list(local.paths)
    found, expected = source.read(0, len(local)), local.read(0, len(local))
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.status, expected.status)
    assert found.reasons == expected.reasons
    for name in ("split", "attributes"):
        one, other = getattr(source, name), getattr(local, name)
        assert (one is None) == (other is None)
        if one is not None:
            expected = other.values("binary") if name == "attributes" else other
            np.testing.assert_array_equal(one.values("binary") if name == "attributes" else one, expected)


# --- the kinds of images


def test_a_folder_has_the_rows_that_it_has_on_a_disk(place: str, tmp_path: Path) -> None:
    paths = ["b2/1.jpg", "b2/10.JPEG", "b10/ü 1.PNG", "IMG1.webp", "img1.webp", "img2.Tif", "img10.pgm"]
    paint_all(tmp_path / "faces", paths)
    for other in ("notes.txt", ".hidden.jpg", ".cache/1.jpg", "b2/.x/1.jpg", "b2/thumbs.db", "jpg"):
        paint_all(tmp_path / "faces", [other])
    source = open_images(upload(tmp_path / "faces", f"{place}/faces"), SMALL)
    assert list(source.paths) == paths == sorted(paths, key=natural_key)
    assert source.describe()["name"] == "faces"
    assert_same(source, open_images(tmp_path / "faces", SMALL))
    assert [int(value) for value in source.take([3, 0, 3]).values[:, 0, 0, 0]] == [3, 0, 3]


def test_a_bucket_may_be_the_folder(s3: str, tmp_path: Path) -> None:
    paint_all(tmp_path / "faces", ["2.png", "10.png"])
    source = open_images(upload(tmp_path / "faces", s3), SMALL)
    assert list(source.paths) == ["2.png", "10.png"]
    assert source.describe()["name"] == s3.removeprefix("s3://")


def test_bad_files_have_the_status_that_they_have_on_a_disk(place: str, tmp_path: Path) -> None:
    paint_all(tmp_path / "faces", [f"{number}.png" for number in range(20)])
    (tmp_path / "faces/3.png").write_bytes(b"")
    (tmp_path / "faces/4.png").write_bytes(b"no image")
    (tmp_path / "faces/5.png").write_bytes((tmp_path / "faces/6.png").read_bytes()[:50])
    Image.new("RGB", (700, 600), (9, 8, 7)).save(tmp_path / "faces/7.png", "BMP")  # is read in two pieces
    (tmp_path / "faces/8.png").write_bytes(bytes(21 << 20))
    limit = 500_000
    local = open_images(tmp_path / "faces", SMALL, pixel_limit=limit)
    source = open_images(upload(tmp_path / "faces", f"{place}/faces"), SMALL, pixel_limit=limit)
    (tmp_path / "faces/16.png").unlink()
    fsspec.get_mapper(f"{place}/faces").pop("16.png")
    assert_same(source, local)
    status = source.read(0, 20).status
    assert [*status[2:9], status[16]] == [
        *(Status.GOOD, Status.EMPTY, Status.NOT_AN_IMAGE, Status.DAMAGED, Status.GOOD, Status.GOOD),
        *(Status.TOO_LARGE, Status.MISSING),
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_celeba_is_read_with_its_lists(place: str, tmp_path: Path, nested: bool) -> None:
    synthesize(tmp_path / "celeba", 12, workers=1)
    if nested:
        (tmp_path / "celeba/img_align_celeba").rename(tmp_path / "faces")
        (tmp_path / "celeba/img_align_celeba").mkdir()
        (tmp_path / "faces").rename(tmp_path / "celeba/img_align_celeba/img_align_celeba")
    source = open_images(upload(tmp_path / "celeba", f"{place}/celeba"), SMALL)
    assert source.split is not None
    assert_same(source, open_images(tmp_path / "celeba", SMALL))


def test_a_list_may_be_here_or_there_and_so_may_its_images(place: str, tmp_path: Path) -> None:
    paint_all(tmp_path / "faces", ["1.png", "2.png"])
    (tmp_path / "faces/list.csv").write_text("path,split\n2.png,test\nnone.png,train\n1.png,valid\n")
    url = upload(tmp_path / "faces", f"{place}/faces")
    local = open_images(tmp_path / "faces/list.csv", SMALL)
    assert_same(open_images(f"{url}/list.csv", SMALL), local)
    assert_same(open_images(tmp_path / "faces/list.csv", SMALL, root=url), local)
    assert_same(open_images(f"{url}/list.csv", SMALL, root=tmp_path / "faces"), local)
    with pytest.raises(ParameterError, match=r"root=\S+/none"):
        open_images(f"{url}/list.csv", SMALL, root=f"{place}/none")


def test_a_zarr_array_is_read_where_it_is(s3: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    zarr.create_array(str(tmp_path / "a.zarr"), data=values)
    url = upload(tmp_path / "a.zarr", f"{s3}/a.zarr")
    assert is_zarr(url)
    assert not is_zarr(s3)
    source = open_array_source(url, SMALL)
    assert_same(source, open_array_source(tmp_path / "a.zarr", SMALL))
    np.testing.assert_array_equal(source.read(0, 10).values, values)
    with pytest.raises(UsageError, match="no Zarr array is there"):
        open_array_source(s3, SMALL)


def test_what_cannot_be_read_from_a_url_is_said(place: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8), np.uint8))
    upload(tmp_path, f"{place}/x")
    with pytest.raises(UsageError, match=r"a\.npy: cannot be read from a URL; copy it to a disk"):
        open_images(f"{place}/x/a.npy", SMALL)
    with pytest.raises(ParameterError, match=r"images=\S+/none"):
        open_images(f"{place}/none", SMALL)
    with pytest.raises(UsageError, match="no images; looked in it"):
        open_images(f"{place}/x", SMALL)


def test_a_file_that_must_not_be_read_is_unreadable(
    s3: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_all(tmp_path / "faces", ["1.png", "secret.png", "2.png"])
    upload(tmp_path / "faces", f"{s3}/faces")
    request.getfixturevalue("as_reader")
    pixels = open_images(f"{s3}/faces", SMALL).read(0, 3)
    assert list(pixels.status) == [Status.GOOD, Status.GOOD, Status.UNREADABLE]
    assert pixels.reasons == {2: "cannot be read: Permission denied"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(UsageError, match="access is denied"):
        open_images(f"{s3}/faces", SMALL)
    source = FileSource("folder", "faces", RemotePath(f"{s3}/faces"), ["1.png"], SMALL)
    with pytest.raises(LatentscanError, match="access is denied"):  # it is not about one image
        source.read(0, 1)


def test_a_server_that_is_gone_rejects_no_image(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="bucket does not exist"):
        open_images("s3://no-such-bucket/faces", SMALL)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("latentscan.paths.DEADLINE_S", 0.5)
    with pytest.raises(UsageError, match=f"{s3} cannot be reached"):
        open_images(s3, SMALL)
    source = FileSource("folder", "faces", RemotePath(s3), ["1.png"], SMALL)
    with pytest.raises(LatentscanError, match=f"{s3} cannot be reached"):
        source.read(0, 1)

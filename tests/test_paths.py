from __future__ import annotations

import os
from pathlib import Path

import pytest

from latentscan.errors import UsageError
from latentscan.paths import RemotePath, absolute, as_path, connect, is_url, store_names

SECRETS = {
    "sftp://me:SECRET@host/faces": "sftp://host/faces",
    "sftp://me:SEC@SECRET@host:22/faces": "sftp://host:22/faces",
    "sftp://me:SEC?RET@host/faces": "sftp://...",
    "s3://KEY:SEC/+SECRET@bucket/faces": "s3://bucket/faces",
    "s3://:SECRET@bucket/a:b": "s3://bucket/a:b",
    "https://SECRET@host/faces": "https://host/faces",
    "https://host:8080/a.zarr?X-Amz-Signature=SECRET": "https://host:8080/a.zarr",
    "https://me:SECRET@host/a.zarr?sig=a@SECRET": "https://host/a.zarr",
    "abfs://faces@account.dfs.core.windows.net/a?sig=SECRET": "abfs://faces@account.dfs.core.windows.net/a",
}
PLAIN = [
    "s3://bucket/faces/a@b/c:d",
    "s3://arn:aws:s3:eu-west-1:1234:accesspoint/a@b",
    "sftp://me@host:22/faces",
    "abfs://faces@account.dfs.core.windows.net/a",
    "https://host:8080/faces/a@b",
    "file:///data/what?",
]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("read", [as_path, absolute, lambda url: connect(url, asynchronous=True)])
def test_credentials_in_a_url_are_refused_and_not_repeated(read: object, url: str) -> None:
    assert callable(read)
    with pytest.raises(UsageError, match=r"credentials .* in the environment") as raised:
        read(url)
    assert str(raised.value).startswith(f"{SECRETS[url]}: ")
    assert "SEC" not in str(raised.value)


@pytest.mark.parametrize("url", PLAIN)
def test_what_only_looks_like_credentials_is_none(url: str) -> None:
    assert is_url(url)
    assert absolute(url) == url


def test_a_location_means_the_same_in_every_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute("a/z.zarr") == absolute(Path("a/z.zarr")) == f"{tmp_path}/a/z.zarr"
    assert absolute("~/z.zarr") == str(as_path("~/z.zarr")) == "/home/me/z.zarr"
    assert absolute("~no such user/z") == f"{tmp_path}/~no such user/z"
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    assert os.path.samefile(absolute("link/.."), tmp_path / "real")  # noqa: PTH121
    url = as_path("memory://a/b/")
    assert isinstance(url, RemotePath)
    assert (absolute(url), str(url / "c"), str(url.parent)) == (
        "memory://a/b",
        "memory://a/b/c",
        "memory://a",
    )


def test_stores_are_named_by_what_tells_them_apart() -> None:
    assert store_names(["s3://b/z.zarr/", "/data/y.zarr"]) == ["z.zarr", "y.zarr"]
    assert store_names(["/a/x/z.zarr", "/b/x/z.zarr"]) == ["a/x/z.zarr", "b/x/z.zarr"]
    assert store_names(["/a/z.zarr", "/b/y.zarr", "/c/z.zarr"]) == ["a/z.zarr", "y.zarr", "c/z.zarr"]

"""Regular files, and all that is none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from latentscan.files import NotRegularFileError, open_regular, read_regular


def test_a_file_is_read_as_far_as_it_went_when_it_was_opened(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    sizes = []

    def check(size: int) -> None:
        sizes.append(size)
        with file.open("ab") as stream:
            stream.write(b" and after")

    assert read_regular(file, check) == b"before"
    assert sizes == [6]
    with open_regular(file) as stream:
        assert stream.read() == b"before and after"


def test_a_size_may_be_refused_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(1 << 42)

    def refuse(size: int) -> None:
        raise ValueError(size)

    with pytest.raises(ValueError, match=str(1 << 42)):
        read_regular(file, refuse)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    for path, kind in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path / "link", "a pipe"),
        (tmp_path / "socket", "a socket"),
        (tmp_path, "a folder"),
        (Path("/dev/zero"), "a device"),
        (Path("/dev/full"), "a device"),
    ):
        for read in (open_regular, lambda path: read_regular(path, lambda size: None)):
            with pytest.raises(NotRegularFileError, match=kind):
                read(path)
    listening.close()
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        read_regular(tmp_path / "file", lambda size: None)
        with pytest.raises(NotRegularFileError):
            open_regular(tmp_path / "pipe")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from latentscan.errors import StoreError
from latentscan.store.files import abandoned, put_first, read_file, remove_abandoned, write_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_read_whole_and_only_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5).tobytes() == b"12345"
    with pytest.raises(OSError, match="5 bytes long, expected at most 4") as refused:
        read_file(tmp_path / "a", 4)
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(tmp_path / "a"))


def test_what_is_no_file_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("pipe", "endless", "circle"):
        with pytest.raises(OSError, match=r"no regular file|symbolic links"):
            read_file(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def _failing(monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
    left, opened = [number] * times, os.open

    def fail(*given: Any, **more: Any) -> int:
        if left:
            raise OSError(left.pop(), os.strerror(number))
        return opened(*given, **more)

    monkeypatch.setattr(os, "open", fail)


def test_a_disk_that_fails_once_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    _failing(monkeypatch, errno.EIO, 1)
    assert read_file(tmp_path / "a").tobytes() == b"12345"
    _failing(monkeypatch, errno.EIO, 2)
    with pytest.raises(OSError, match="Input/output error"):
        read_file(tmp_path / "a")


def test_litter_is_removed_from_a_disk_that_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.partial").write_bytes(b"12345")
    _failing(monkeypatch, errno.EIO, 1)
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_that_opens_no_file_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "a.partial").write_bytes(b"12345")
    said = r"a\.partial cannot be read now: .*; .*, and repeat the command"
    for read in (read_file, lambda file: list(abandoned(file.parent))):
        _failing(monkeypatch, number, 1)
        with pytest.raises(StoreError, match=said):
            read(tmp_path / "a.partial")


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.EMFILE, StoreError), (errno.EIO, OSError), (errno.ENOENT, None), (errno.EACCES, None)],
)
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception] | None
) -> None:
    def fail(folder: str) -> None:
        raise OSError(number, os.strerror(number), folder)

    monkeypatch.setattr(os, "scandir", fail)
    if raised is None:
        assert list(abandoned(tmp_path)) == []
    else:
        with pytest.raises(raised, match=tmp_path.name):
            list(abandoned(tmp_path))


def test_a_file_is_replaced_and_a_folder_in_its_place_too(tmp_path: Path) -> None:
    for content in (b"1", b"2"):
        write_file(tmp_path / "one" / "two", content)
        assert (tmp_path / "one" / "two").read_bytes() == content
    write_file(tmp_path / "one", b"3")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"3"}


def test_the_first_one_counts_where_only_one_may_write(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"1", put=put_first)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "a", b"2", put=put_first)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1"}


def test_a_full_disk_is_an_error_of_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    def full(_partial: object, _file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as failed:
        write_file(tmp_path / "a", b"1", put=full)
    assert failed.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_who_is_taken_for_dead_writes_again(tmp_path: Path) -> None:
    taken: list[Path] = []

    def put(partial: Path, file: Path) -> None:
        if not taken:
            taken.append(partial)
            partial.unlink()
        os.replace(partial, file)  # noqa: PTH105 (what is called otherwise)

    write_file(tmp_path / "a", b"1", put=put)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1"}


def test_what_a_writer_has_locked_is_not_abandoned(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("a.0.partial", "one/b.0.partial", "one/c"):
        (tmp_path / name).write_bytes(b"")
    seen = []

    def put(partial: Path, file: Path) -> None:
        seen.append(partial)
        assert set(abandoned(tmp_path)) == {tmp_path / "a.0.partial", tmp_path / "one/b.0.partial"}
        assert set(abandoned(tmp_path, depth=0)) == {tmp_path / "a.0.partial"}
        remove_abandoned(tmp_path)
        os.replace(partial, file)  # noqa: PTH105 (what is called otherwise)

    write_file(tmp_path / "one" / "d", b"1", put=put)
    assert len(seen) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "d", "one"]


def test_a_file_in_place_of_a_folder_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    for put in (os.replace, put_first):
        for file in (tmp_path / "one" / "two", tmp_path / "one" / "two" / "three"):
            with pytest.raises(NotADirectoryError) as failed:
                write_file(file, b"2", put=put)
            assert failed.value.filename == str(file)
    assert (tmp_path / "one").read_bytes() == b"1"


def test_a_folder_that_comes_back_each_time_is_an_error(tmp_path: Path) -> None:
    def put(_partial: Path, file: Path) -> None:
        file.mkdir()
        raise IsADirectoryError(errno.EISDIR, "Is a directory")

    with pytest.raises(IsADirectoryError) as failed:
        write_file(tmp_path / "a", b"1", put=put)
    assert failed.value.filename == str(tmp_path / "a")

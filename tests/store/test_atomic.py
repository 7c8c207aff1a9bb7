from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from latentscan.errors import UsageError
from latentscan.store.atomic import (
    backing,
    change_json,
    exists,
    is_writable,
    list_names,
    publish,
    read_json,
    require_folder_of,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path


def fill(group: zarr.Group) -> None:
    group.create_array("a", data=np.arange(3))
    group.attrs["n"] = 3


def test_a_group_is_published_with_its_parents(tmp_path: Path) -> None:
    nodes = publish(str(tmp_path / "z"), "one/two", fill)
    assert set(nodes) == {"", "one", "one/two", "one/two/a"}
    for path, node in nodes.items():
        assert json.loads((tmp_path / "z" / path / "zarr.json").read_text()) == node
    group = zarr.open_group(tmp_path / "z", path="one/two", mode="r")
    assert dict(group.attrs) == {"n": 3}


def test_a_group_that_is_interrupted_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from latentscan.store.disk_store import DiskStore

    whole = DiskStore.set

    async def interrupted(self: DiskStore, key: str, value: object) -> None:
        if key == "one/zarr.json":
            raise OSError(28, "no space left")
        await whole(self, key, value)  # type: ignore[arg-type]

    monkeypatch.setattr(DiskStore, "set", interrupted)
    with pytest.raises(OSError, match="no space"):
        publish(str(tmp_path), "one", fill)
    assert (tmp_path / "one" / "a" / "zarr.json").exists()
    assert not exists(str(tmp_path), "one/zarr.json")


def test_a_group_that_is_published_again_loses_what_it_had_before(tmp_path: Path) -> None:
    publish(str(tmp_path), "one", fill)
    publish(str(tmp_path), "one", lambda group: group.attrs.update({"n": 4}))
    assert list_names(str(tmp_path), "one") == ["zarr.json"]


def test_a_json_file_is_an_object_or_an_error(tmp_path: Path) -> None:
    store = backing(str(tmp_path), read_only=False)
    assert read_json(store, "absent.json") is None
    write_json(store, "a.json", {"n": 1})
    change_json(str(tmp_path), "a.json", lambda: {"n": (read_json(store, "a.json") or {})["n"] + 1})
    assert read_json(store, "a.json") == {"n": 2}
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(ValueError, match=r"b\.json"):
        read_json(store, "b.json")


def test_a_folder_may_hold_its_own_and_what_interrupted_writers_leave(tmp_path: Path) -> None:
    require_folder_of(str(tmp_path / "absent"), set())
    (tmp_path / "zarr.0123.partial").write_bytes(b"")
    (tmp_path / "mine").mkdir()
    require_folder_of(str(tmp_path), {"mine"})
    with pytest.raises(UsageError, match="'mine'"):
        require_folder_of(str(tmp_path), {"other"})
    with pytest.raises(UsageError, match="is a file"):
        require_folder_of(str(tmp_path / "zarr.0123.partial"), set())


def test_a_folder_that_does_not_exist_yet_is_writable_where_its_parent_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_writable(str(tmp_path / "new" / "z.zarr"), "analyses")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    assert not is_writable(str(tmp_path / "new" / "z.zarr"), "analyses")


def test_names_below_nothing_are_none(tmp_path: Path) -> None:
    assert list_names(str(tmp_path / "absent"), "jobs") == []
    (tmp_path / "file").write_bytes(b"")
    assert list_names(str(tmp_path), "file") == []
    assert sorted(list_names(str(tmp_path), "")) == ["file"]

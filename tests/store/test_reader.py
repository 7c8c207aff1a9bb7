from __future__ import annotations

import json
import pickle
import socket
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

from latentscan.errors import StoreError
from latentscan.store.chunks import ChunkError
from latentscan.store.metadata import SEAL, nodes_of, seal_of
from latentscan.store.reader import open_store
from latentscan.store.results import Result, Results, Variable
from tests.builders import build_store, random_latents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from latentscan.store.reader import LatentStore

LABELS = ("Male", "Young")


def build(location: Path, **options: Any) -> LatentStore:
    return build_store(location, labels=LABELS, split=True, **options)


def test_a_store_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr", rejected=[5])
    digests = store.digests()
    for name, expected in random_latents(10, 3, ("mu", "logvar", "z"), seed=0).items():
        expected[5] = np.nan
        blocks = [store.read_block(block, (name,), digests[block])[name] for block in range(3)]
        np.testing.assert_array_equal(np.concatenate(blocks), expected)
        np.testing.assert_array_equal(store.array(name)[:], expected)
    found = store.read_block(1, ("path", "status", "split", "attribute"), digests[1])
    assert found["path"].tolist() == [f"ünter/{row}.jpg" for row in range(4, 8)]
    assert found["status"].tolist() == [0, 5, 0, 0]
    assert found["split"].tolist() == [1, 2, 0, 1]
    assert found["attribute"].tolist() == [[-1, -1], [-1, -1], [1, 1], [-1, 1]]


def test_xarray_opens_images_and_commit_record_without_a_warning(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(tmp_path / "z.zarr")
        commits = xr.open_zarr(tmp_path / "z.zarr", group="commits")
    assert dict(dataset.sizes) == {"image": 10, "component": 3, "label": 2}
    assert dataset["mu"].dims == ("image", "component")
    assert dataset["mu"].chunks == ((4, 4, 2), (3,))
    assert set(dataset.coords) == {"path", "status", "split", "label"}
    assert dataset["attribute"].sel(label="Male").values.tolist() == [1, -1, -1] * 3 + [1]
    assert str(dataset["path"].values[4]) == "ünter/4.jpg"
    assert commits["array"].values.tolist() == list(store.schema.names)
    np.testing.assert_array_equal(commits["digest"], store.digests())


def test_xarray_opens_everything_at_once(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    names = Variable(("array",), np.array(["mu", "z"]))
    result = Result({"array": names, "mean": Variable(("array", "component"), np.ones((2, 3)))}, {})
    Results(store.location).save("analyses/stats/a", result)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(tmp_path / "z.zarr", engine="zarr")
    assert tree["analyses/stats/a"].dataset["mean"].sel(array="z").values.tolist() == [1, 1, 1]
    assert tree["commits/digest"].dims == ("block", "array", "byte")
    assert tree["z"].shape == (10, 3)


def test_a_table_of_images_is_as_long_as_they_are(tmp_path: Path) -> None:
    build_store(tmp_path / "z.zarr")
    assert len(xr.open_zarr(tmp_path / "z.zarr").to_dataframe()) == 10 * 3


def test_an_incomplete_store_says_how_to_write_the_rest(tmp_path: Path) -> None:
    command = "latentscan encode --model 'my model' --store"
    begun = build(tmp_path / "z.zarr", blocks=(0, 2), resume_command=f"{command} /where/it/was.zarr")
    with pytest.raises(StoreError) as raised:
        begun.readable_digests(allow_partial=False)
    message = raised.value.spelled("command line")
    assert "2 of 3 blocks are written" in message
    assert f"To write the rest: {command} {tmp_path}/z.zarr; " in message
    assert message.endswith(" --allow-partial")
    assert begun.readable_digests(allow_partial=True).any(axis=(1, 2)).tolist() == [True, False, True]


def test_a_store_without_a_block_is_never_readable(tmp_path: Path) -> None:
    empty = build(tmp_path / "z.zarr", blocks=())
    for allow_partial in (False, True):
        with pytest.raises(StoreError, match="0 of 3 blocks"):
            empty.readable_digests(allow_partial=allow_partial)


def test_a_damaged_commit_record_is_an_error(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    file = tmp_path / "z.zarr" / store.chunk_key(1, "digest")
    content = bytearray(file.read_bytes())
    content[9] ^= 1
    file.write_bytes(content)
    with pytest.raises(ChunkError) as raised:
        store.digests()
    assert raised.value.chunk == "commits/digest/c/1/0/0"


def test_a_folder_in_the_place_of_a_chunk_is_named(tmp_path: Path) -> None:
    store = build(tmp_path / "z.zarr")
    digests = store.digests()
    for name in ("z", "path"):
        file = tmp_path / "z.zarr" / store.chunk_key(0, name)
        file.unlink()
        file.mkdir()
        with pytest.raises(ChunkError) as raised:
            store.read_block(0, (name,), digests[0])
        assert raised.value.chunk == store.chunk_key(0, name)


def test_a_location_without_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_store(str(tmp_path / "absent.zarr"))
    with pytest.raises(StoreError, match="no latent store"):
        open_store(str(tmp_path))
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(StoreError, match="no latent store"):
        open_store(str(tmp_path / "other.zarr"))


def test_a_newer_format_is_not_read(tmp_path: Path) -> None:
    build(tmp_path / "z.zarr")
    file = tmp_path / "z.zarr" / "zarr.json"
    root = json.loads(file.read_text())
    root["attributes"]["format_version"] = 99
    root["consolidated_metadata"]["metadata"]["z"]["codecs"] = [{"name": "of later times"}]
    root["attributes"][SEAL] = seal_of(root)
    file.write_text(json.dumps(root))
    with pytest.raises(StoreError, match="format version is 99, expected 3"):
        open_store(str(tmp_path / "z.zarr"))


def test_a_store_is_opened_again_once_in_each_process(tmp_path: Path) -> None:
    pickled = pickle.dumps(build(tmp_path / "z.zarr"))
    assert pickle.loads(pickled) is pickle.loads(pickled)  # noqa: S301
    assert pickle.loads(pickled).group.store.read_only  # noqa: S301


def test_a_store_that_a_machine_does_not_see_names_the_machine(tmp_path: Path) -> None:
    pickled = pickle.dumps(build(tmp_path / "z.zarr"))
    (tmp_path / "z.zarr").rename(tmp_path / "away.zarr")
    with pytest.raises(StoreError, match=f"is not visible from {socket.gethostname()}; .* s3://"):
        pickle.loads(pickled)  # noqa: S301
    build_store(tmp_path / "z.zarr", images=11)
    with pytest.raises(StoreError, match="is another store on"):
        pickle.loads(pickled)  # noqa: S301


def test_a_store_is_as_long_as_it_has_images_and_names_them(tmp_path: Path) -> None:
    store = build_store(tmp_path / "z.zarr", images=7, chunk_rows=3)
    assert len(store) == 7
    assert store.path[5] == "ünter/5.jpg"
    assert store.results() == []
    Results(store.location).save("analyses/stats/a", Result({}, {}))
    assert [entry.path for entry in store.results()] == ["analyses/stats/a"]


def test_a_notebook_shows_a_store_and_runs_nothing_that_a_file_is_called(tmp_path: Path) -> None:
    provenance = {"encoder": {"name": "<script>alert(1)</script>"}, "source": {"name": "faces & co"}}
    shown = build_store(tmp_path / "<b>.zarr", images=7, provenance=provenance)._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;" in shown
    assert "faces &amp; co" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root["attributes"]["schema"].update(images=10**15), "blocks are more than"),
        (lambda root: root["attributes"]["schema"].update(images="many"), "its schema is damaged"),
        (lambda root: root["attributes"]["schema"].pop("latents"), "its schema is damaged"),
        (lambda root: nodes_of(root)["z"].update(shape=[10**15, 3]), "metadata of array 'z' is damaged"),
        (
            lambda root: nodes_of(root)["z"]["chunk_grid"]["configuration"].update(chunk_shape=[10**12, 3]),
            "metadata of array 'z' is damaged",
        ),
        (lambda root: nodes_of(root)["status"].update(data_type="int64"), "'status' is damaged"),
    ],
)
def test_metadata_that_declares_what_no_store_has_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    store = build_store(tmp_path / "z.zarr")
    root = json.loads((tmp_path / "z.zarr" / "zarr.json").read_text())
    change(root)
    root["attributes"][SEAL] = seal_of(root)  # as if it had been written so
    (tmp_path / "z.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(StoreError, match=message):
        open_store(store.location)

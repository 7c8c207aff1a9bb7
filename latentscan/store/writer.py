"""Writing a LatentStore: the schema first, then block after block, each committed by its digest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import UsageError
from latentscan.images.source import MISSING, Status
from latentscan.paths import is_url
from latentscan.store.atomic import publish, require_folder_of
from latentscan.store.chunks import digest_of
from latentscan.store.integrity import check_metadata, repair_metadata
from latentscan.store.metadata import SEAL, SEALED_COPY, read_root, seal
from latentscan.store.reader import RESUME_COMMAND, LatentStore, open_store
from latentscan.store.schema import (
    ATTRIBUTE_ARRAYS,
    COMMITS,
    DIGEST_BYTES,
    JOBS,
    LABEL_NAMES,
    LATENTS,
    ArraySpec,
    Schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import zarr
    from numpy.typing import NDArray


_STATUS_MEANINGS: dict[str, Any] = {  # as the CF conventions write it
    "flag_values": [int(status) for status in Status],
    "flag_meanings": " ".join(status.name.lower() for status in Status),
}
_ATTRIBUTES_OF: dict[str, dict[str, Any]] = {
    "status": _STATUS_MEANINGS,
    ATTRIBUTE_ARRAYS["integer"]: {"missing_value": MISSING["integer"]},  # readers that know it see NaN
}


def create_store(
    location: str, schema: Schema, provenance: Mapping[str, Any], *, resume_command: str = ""
) -> LatentStore:
    """Create an empty store, or open the one that was begun with the same schema and provenance.

    Parameters
    ----------
    location
        Path of the Zarr group.
    schema
        What it will hold.
    provenance
        How its rows come about, as JSON: it is stored in the group's attributes, and a store is resumed
        only with the same, except for versions and names of files.
    resume_command
        The command that writes the rest of the store, for those who find it incomplete. It is stored by
        whoever creates the store, and has no part in whether it is the same.

    Raises
    ------
    UsageError
        If the location holds something else, or a store that was begun in another way.
    StoreError
        If the store's metadata is damaged.
    """
    root = read_root(location)
    if root is None or SEAL not in root.get("attributes", {}):
        schema.require_fitting_blocks()
        _require_vacant(location, schema)
        written = publish(location, "", lambda group: _lay_out(group, schema, provenance, resume_command))
        _restore_first(location, written[""])
    store = open_store(location, writable=True)
    _require_same(store, schema, provenance)
    return store


def reject_not_finite(values: dict[str, NDArray[Any]]) -> None:
    """Reject the rows in which a latent is NaN or infinite, and make every rejected row NaN throughout.

    `values` are the arrays of a block; its latents and its `status` are changed in place.
    """
    latents = [values[name] for name in LATENTS if name in values]
    finite = np.logical_and.reduce([np.isfinite(array).all(axis=1) for array in latents])
    values["status"][~finite & (values["status"] == Status.GOOD)] = Status.NOT_FINITE
    for array in latents:
        array[values["status"] != Status.GOOD] = np.nan


def write_block(store: LatentStore, block: int, values: Mapping[str, NDArray[Any]]) -> None:
    """Write all arrays of a block, then the digest that commits it.

    Raises
    ------
    UsageError
        If an array is absent or has another shape than the schema says.
    """
    rows, specs = store.schema.rows(block), store.schema.arrays
    arrays = {spec.name: _as_declared(values, spec, len(rows)) for spec in specs}

    def write(name: str) -> None:
        store.array(name).with_config({"write_empty_chunks": True})[rows.start : rows.stop] = arrays[name]

    if is_url(store.location):  # a server takes long to answer, and can take many chunks at once
        with ThreadPoolExecutor(len(specs), thread_name_prefix="upload") as pool:
            list(pool.map(write, arrays))
    else:
        for name in arrays:
            write(name)
    digests = [np.frombuffer(digest_of(array), np.uint8) for array in arrays.values()]
    store.digest[block] = np.stack(digests)


def retract_blocks(location: str, blocks: Iterable[int]) -> None:
    """Mark blocks as not written, so that the command that wrote them writes them again."""
    store = open_store(location, writable=True)
    for block in blocks:
        store.digest[block] = 0


def _as_declared(values: Mapping[str, NDArray[Any]], spec: ArraySpec, rows: int) -> NDArray[Any]:
    shape = (rows,) if spec.second is None else (rows, spec.width)
    if spec.name not in values or values[spec.name].shape != shape:
        got = values[spec.name].shape if spec.name in values else "nothing"
        raise UsageError(f"array {spec.name!r} of a block: got {got}, expected shape {shape}")
    array = values[spec.name]
    return array if spec.dtype == "str" else np.ascontiguousarray(array, spec.dtype)


def _codecs(schema: Schema, dtype: str) -> tuple[Any, ...]:
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    if schema.compression == "zstd":
        return (ZstdCodec(level=3), Crc32cCodec())
    if schema.compression == "lz4" and dtype != "str":
        return (
            BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize),
            Crc32cCodec(),
        )
    return (Crc32cCodec(),)


def _lay_out(group: zarr.Group, schema: Schema, provenance: Mapping[str, Any], resume_command: str) -> None:
    for spec in schema.arrays:
        second = () if spec.second is None else (spec.width,)
        group.create_array(
            spec.name,
            shape=(schema.images, *second),
            chunks=(schema.chunk_rows, *second),
            dtype=str if spec.dtype == "str" else spec.dtype,
            fill_value=spec.fill,
            compressors=_codecs(schema, spec.dtype),
            dimension_names=("image",) if spec.second is None else ("image", spec.second),
            attributes=_ATTRIBUTES_OF.get(spec.name),
        )
    _lay_out_commits(group.create_group(COMMITS), schema)
    for name, labels in schema.coordinates.items():
        _name_coordinate(group, name, labels)
    plain = [spec.name for spec in schema.arrays if spec.second is None]
    group.attrs.update(
        {
            **provenance,
            "format_version": schema.format_version,
            "schema": schema.document,
            "coordinates": " ".join(plain),
            **({RESUME_COMMAND: resume_command} if resume_command else {}),
        }
    )
    seal(group)


def _lay_out_commits(group: zarr.Group, schema: Schema) -> None:
    """Lay out the commit record: a group of its own, since its dimensions are not those of images."""
    arrays = len(schema.names)
    group.create_array(
        "digest",
        shape=(schema.blocks, arrays, DIGEST_BYTES),
        chunks=(1, arrays, DIGEST_BYTES),
        dtype="uint8",
        fill_value=0,
        compressors=_codecs(schema, "uint8")[-1:],
        dimension_names=("block", "array", "byte"),
    )
    _name_coordinate(group, "array", schema.names)


def _name_coordinate(group: zarr.Group, name: str, values: tuple[str, ...]) -> None:
    array = group.create_array(
        name,
        shape=(len(values),),
        chunks=(len(values),),
        dtype=str,
        compressors=None,
        dimension_names=(name,),
    )
    array[:] = np.array(values, dtype=object)


def _restore_first(location: str, written: Mapping[str, Any]) -> None:
    """Write again what another sealed who created the store first, and whose metadata is overwritten.

    Locks are not everywhere, least of all at URLs: whoever comes second restores what it wrote.
    """
    root = read_root(location) or {}
    if root.get("attributes", {}).get(SEAL) != written["attributes"][SEAL]:
        store = open_store(location, writable=True)
        repair_metadata(store, check_metadata(store))


def _require_vacant(location: str, schema: Schema) -> None:
    """Refuse a folder that holds anything but jobs, and what an interrupted creation of a store leaves."""
    require_folder_of(location, {*schema.names, *LABEL_NAMES.values(), COMMITS, SEALED_COPY, JOBS})


# what a user calls a field of the schema
_SHOWN = {
    "labels": "attributes",
    "integer_labels": "attributes of integers",
    "float_labels": "attributes of numbers",
    "text_labels": "attributes of texts",
}


def _require_same(store: LatentStore, schema: Schema, provenance: Mapping[str, Any]) -> None:
    begun = {**asdict(store.schema), **store.attributes}
    asked = json.loads(json.dumps({**asdict(schema), **provenance}))
    for name, value in asked.items():
        different = _difference(name, begun.get(name), value)
        if different is not None:
            where, before, now = different
            raise UsageError(
                f"{store.location} was begun with {_SHOWN.get(where, where)} = {before}, now it is {now}; "
                "repeat the parameters it was begun with, or write another store"
            )


def _difference(where: str, before: Any, now: Any) -> tuple[str, str, str] | None:
    """Return the first entry that differs, apart from what does not decide any row."""
    if where.rpartition(".")[2] in {"name", "versions", "training"}:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            found = _difference(f"{where}.{key}", before.get(key), now.get(key))
            if found is not None:
                return found
        return None
    before = list(before) if isinstance(before, tuple) else before
    return None if before == now else (where, str(before)[:60], str(now)[:60])

"""Reading a LatentStore: what it holds, which blocks are committed, and verified blocks of it."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.errors import StoreError
from latentscan.store.publish import backing
from latentscan.store.schema import DIGEST_BYTES, FORMAT_VERSION, LATENTS, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    import zarr
    from numpy.typing import NDArray


def digest_of(values: NDArray[Any]) -> bytes:
    """Hash the content of one array of one block.

    SHA-256 of the little-endian bytes in C order; of the UTF-8 texts, joined by NUL, for an array of texts.

    Examples
    --------
    >>> digest_of(np.zeros((2, 3), np.float32)).hex()[:12]
    '9d908ecfb6b2'
    """
    if values.dtype.kind in "OTU":
        return hashlib.sha256("\0".join(values.tolist()).encode()).digest()
    return hashlib.sha256(
        np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view(np.uint8).data
    ).digest()


class LatentStore:
    """The latents of a whole data set on disk.

    Parameters
    ----------
    location
        Path of the Zarr group.
    group
        The opened group.

    Raises
    ------
    StoreError
        If the group is not a LatentStore of a format that this version reads.
    """

    def __init__(self, location: str, group: zarr.Group) -> None:
        self.location = location
        self.group = group
        self.attributes: dict[str, Any] = dict(group.attrs)
        version = self.attributes.get("format_version")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{location}: format version is {version}, expected {FORMAT_VERSION}; "
                "open it with the latentscan that wrote it"
            )
        self.schema = self._read_schema()

    def __repr__(self) -> str:
        schema = self.schema
        return f"<LatentStore {self.location}: {schema.images} images × {schema.components} components>"

    def _read_schema(self) -> Schema:
        latents = tuple(name for name in LATENTS if name in self.group)
        array = self.array(latents[0])
        labels = tuple(np.asarray(self.array("label")[:]).tolist()) if "label" in self.group else ()
        return Schema(
            images=array.shape[0],
            components=array.shape[1],
            latents=latents,
            chunk_rows=array.chunks[0],
            labels=labels,
            split="split" in self.group,
            compression=self.attributes["compression"],
        )

    def array(self, name: str) -> zarr.Array[Any]:
        """Give an array, lazily: rows are read when it is indexed.

        Raises
        ------
        StoreError
            If the store has no array of that name.
        """
        if name not in self.group:
            raise StoreError(
                f"{self.location} has no array {name!r}; it holds {sorted(self.group.array_keys())}"
            )
        return cast("zarr.Array[Any]", self.group[name])

    @property
    def mu(self) -> zarr.Array[Any]:
        """The means, (image, component) float32."""
        return self.array("mu")

    @property
    def logvar(self) -> zarr.Array[Any]:
        """The natural logarithms of the variances, (image, component) float32."""
        return self.array("logvar")

    @property
    def z(self) -> zarr.Array[Any]:
        """The z-points, (image, component) float32."""
        return self.array("z")

    @cached_property
    def _committable(self) -> dict[str, zarr.Array[Any]]:
        return {name: self.array(name) for name in self.schema.names}

    def completing_command(self) -> str:
        """Say which command writes the blocks that are missing."""
        if "encoder" not in self.attributes:
            return f"latentscan ingest --z FILE.npy --store {self.location}"
        model, source = self.attributes["encoder"]["name"], self.attributes["source"]["name"]
        return f"latentscan encode --model {model} --images {source} --store {self.location}"

    def digests(self) -> NDArray[np.uint8]:
        """Read the commit record, (block, array, 32).

        Raises
        ------
        StoreError
            If a part of it is damaged.
        """
        shape = (self.schema.blocks, len(self.schema.names), DIGEST_BYTES)
        try:
            return np.asarray(self.array("digest")[:], np.uint8).reshape(shape)
        except (ValueError, RuntimeError, OSError) as error:
            raise StoreError(
                f"{self.location}: the commit record `digest` is damaged ({error}); "
                f"`latentscan check --store {self.location}` says where"
            ) from error

    def committed(self) -> NDArray[np.bool_]:
        """Tell which blocks are written, (block,)."""
        return cast("NDArray[np.bool_]", self.digests().any(axis=(1, 2)))

    def read_block(
        self, block: int, names: Iterable[str], digests: NDArray[np.uint8]
    ) -> dict[str, NDArray[Any]]:
        """Read arrays of a block and verify each against its digest.

        Parameters
        ----------
        block
            Number of the block.
        names
            The arrays to read.
        digests
            The block's commit record, (array, 32).

        Raises
        ------
        StoreError
            If a chunk is missing, damaged, or another's.
        """
        values = {}
        for name in names:
            array = self._read_chunk(block, name)
            if digest_of(array) != digests[self.schema.names.index(name)].tobytes():
                raise self._damage(block, name)
            values[name] = array
        return values

    def _read_chunk(self, block: int, name: str) -> NDArray[Any]:
        rows = self.schema.rows(block)
        try:
            return np.asarray(self._committable[name][rows.start : rows.stop])
        except (ValueError, RuntimeError, OSError) as error:  # what zarr and its codecs raise on bad bytes
            raise self._damage(block, name) from error

    def _damage(self, block: int, name: str) -> StoreError:
        key = self.chunk_key(block, name)
        what = "is damaged" if self.has_chunk(key) else "is missing"
        rows = self.schema.rows(block)
        return StoreError(
            f"{self.location}: chunk {key} (images {rows.start}..{rows.stop - 1}) {what}; "
            f"`latentscan check --store {self.location}` lists all damage, and its --repair marks it "
            "to be written anew"
        )

    def chunk_key(self, block: int, name: str) -> str:
        """Name the file of a block's array inside the store."""
        array = self._committable[name]
        coordinates = (block,) + (0,) * (array.ndim - 1)
        return f"{name}/{array.metadata.encode_chunk_key(coordinates)}"

    def has_chunk(self, key: str) -> bool:
        """Tell whether the file of a chunk exists."""
        from zarr.core.sync import sync

        return sync(self.group.store.exists(key))


def open_store(location: str) -> LatentStore:
    """Open a LatentStore for reading.

    Raises
    ------
    StoreError
        If there is none at `location`.
    """
    import zarr
    from zarr.errors import GroupNotFoundError

    try:
        group = zarr.open_group(backing(location, read_only=True), mode="r", zarr_format=3)
    except (FileNotFoundError, GroupNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"{location} is no latent store; `latentscan encode` or `latentscan ingest` writes one"
        ) from error
    if "format_version" not in group.attrs:
        raise StoreError(f"{location} is a Zarr group, but no latent store: it has no format_version")
    return LatentStore(location, group)

"""Reading a LatentStore: what it holds, which blocks are committed, and verified blocks of it."""

from __future__ import annotations

import math
import socket
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.errors import StoreError
from latentscan.paths import absolute, is_url
from latentscan.store.atomic import backing
from latentscan.store.chunks import READ_ERRORS, ChunkError, checksum_of, digest_of, read_files
from latentscan.store.metadata import SEAL, no_store, read_root
from latentscan.store.schema import FORMAT_VERSION, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import zarr
    from numpy.typing import NDArray


DIGESTS_TOGETHER = 64  # chunks of the commit record that are asked for at once


class LatentStore:
    """The latents of a whole data set, on a disk or at a URL.

    What is pickled is where it is: it is opened again, once in each process.

    Parameters
    ----------
    location
        Path or URL of the Zarr group.
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
        stored = self.attributes["schema"]
        self.schema = Schema(
            **{**stored, "latents": tuple(stored["latents"]), "labels": tuple(stored["labels"])}
        )

    def __repr__(self) -> str:
        schema = self.schema
        return f"<LatentStore {self.location}: {schema.images} images × {schema.components} components>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (absolute(self.location), self.attributes[SEAL], not self.group.store.read_only)

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
    def _arrays(self) -> dict[str, zarr.Array[Any]]:
        return {name: self.array(name) for name in (*self.schema.names, "digest")}

    def completing_command(self) -> str:
        """Say which command writes the blocks that are missing, as far as the store knows it."""
        return self.resume_command or "repeat the command that wrote it"

    @property
    def resume_command(self) -> str:
        """The command that writes the blocks that are missing; empty where the store does not know it."""
        return str(self.attributes.get("resume_command", ""))

    def digests(self) -> NDArray[np.uint8]:
        """Read the commit record, (block, array, 32).

        Raises
        ------
        ChunkError
            If a part of it is damaged.
        """
        import zarr

        try:
            with zarr.config.set({"async.concurrency": DIGESTS_TOGETHER}):  # a server takes long to answer
                return np.asarray(self.array("digest")[:], np.uint8)
        except READ_ERRORS:
            return np.stack([self.read_digests(block) for block in range(self.schema.blocks)])

    def readable_digests(self, *, allow_partial: bool) -> NDArray[np.uint8]:
        """Read the commit record of a store that is complete, or with `allow_partial` has a block at least.

        Raises
        ------
        StoreError
            If too few blocks are written.
        """
        digests = self.digests()
        blocks, written = len(digests), int(digests.any(axis=(1, 2)).sum())
        if not written or (written < blocks and not allow_partial):
            raise StoreError(
                f"{self.location} is incomplete: {written} of {blocks} blocks are written. "
                f"To write the rest: {self.completing_command()}"
                + ("; to go ahead without it: --allow-partial" if written else "")
            )
        return digests

    def read_digests(self, block: int) -> NDArray[np.uint8]:
        """Read the commit record of a block, (array, 32).

        Raises
        ------
        ChunkError
            If it is damaged.
        """
        return np.asarray(self.read_chunk(block, "digest")[0], np.uint8)

    def committed(self) -> NDArray[np.bool_]:
        """Tell which blocks are written, (block,)."""
        return cast("NDArray[np.bool_]", self.digests().any(axis=(1, 2)))

    def read_block(
        self, block: int, names: Iterable[str], digests: NDArray[np.uint8]
    ) -> dict[str, NDArray[Any]]:
        """Read arrays of a block and verify each against the checksum in its digest.

        Parameters
        ----------
        names
            The arrays to read.
        digests
            The block's commit record, (array, 32).

        Raises
        ------
        ChunkError
            If a chunk is missing, damaged, or another's.
        """
        wanted = tuple(names)
        fetched = self._fetched(block, wanted) if is_url(self.location) else {}
        return {name: self._verified(block, name, digests, checksum_of, fetched.get(name)) for name in wanted}

    def verify_chunk(self, block: int, name: str, digests: NDArray[np.uint8]) -> None:
        """Compare an array of a block with the whole of its digest.

        Raises
        ------
        ChunkError
            If it is missing, damaged, or another's.
        """
        self._verified(block, name, digests, digest_of)

    def _verified(
        self,
        block: int,
        name: str,
        digests: NDArray[np.uint8],
        hashed: Callable[[NDArray[Any]], bytes],
        fetched: NDArray[np.uint8] | None = None,
    ) -> NDArray[Any]:
        plain = self._is_plain(name)
        array = self._map_chunk(block, name, fetched) if plain else self.read_chunk(block, name)
        if not digests[self.schema.names.index(name)].tobytes().endswith(hashed(array)):
            self.read_chunk(block, name)  # knows whether the chunk's own checksum differs
            raise self._mismatch(block, name)
        return array

    def _is_plain(self, name: str) -> bool:
        return self.schema.compression == "none" and self._arrays[name].dtype.kind in "fiu"

    def _fetched(self, block: int, names: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
        """Read the chunks of a block at once, since a server takes long to answer, and can answer many."""
        keys = {name: self.chunk_key(block, name) for name in names if self._is_plain(name)}
        found = read_files(self.location, self.group.store, list(keys.values()))
        return {name: content for name, content in zip(keys, found, strict=True) if content is not None}

    def _map_chunk(self, block: int, name: str, fetched: NDArray[np.uint8] | None) -> NDArray[Any]:
        """Read an array of a block whose chunk is nothing but its rows and a checksum."""
        array, rows = self._arrays[name], len(self.schema.rows(block))
        key = self.chunk_key(block, name)
        content = fetched if fetched is not None else read_files(self.location, self.group.store, [key])[0]
        if content is None:
            raise ChunkError(self.location, key, "is missing")
        count = rows * math.prod(array.shape[1:])
        if len(content) < count * array.dtype.itemsize:
            raise ChunkError(self.location, key, "is damaged: it is cut short")
        values = content[: count * array.dtype.itemsize]
        return values.view(array.dtype.newbyteorder("<")).reshape(rows, *array.shape[1:])

    def read_chunk(self, block: int, name: str) -> NDArray[Any]:
        """Read an array of a block as it is; one that is missing reads as its fill value.

        Raises
        ------
        ChunkError
            If its checksum is wrong, or it cannot be decoded.
        """
        rows = self.schema.rows(block) if name != "digest" else range(block, block + 1)
        try:
            return np.asarray(self._arrays[name][rows.start : rows.stop])
        except READ_ERRORS as error:
            what = "its checksum differs" if "checksum" in str(error) else "it cannot be decoded"
            raise ChunkError(self.location, self.chunk_key(block, name), f"is damaged: {what}") from error

    def _mismatch(self, block: int, name: str) -> ChunkError:
        """Make the error of a chunk whose content is not what was committed."""
        key = self.chunk_key(block, name)
        from zarr.core.sync import sync

        missing = not sync(self.group.store.exists(key))
        return ChunkError(
            self.location, key, "is missing" if missing else "is not what was committed: its digest differs"
        )

    def chunk_key(self, block: int, name: str) -> str:
        """Name the file of a block's array inside the store."""
        array = self._arrays[name]
        return f"{name}/{array.metadata.encode_chunk_key((block,) + (0,) * (array.ndim - 1))}"


def open_store(location: str, *, writable: bool = False) -> LatentStore:
    """Open a LatentStore.

    Raises
    ------
    StoreError
        If there is none at `location`, or its metadata is damaged.
    """
    import zarr

    root = read_root(location)
    if root is None:
        raise no_store(location)
    if SEAL not in root.get("attributes", {}):
        raise StoreError(f"{location} is a Zarr group, but no latent store: its attributes lack {SEAL}")
    store = backing(location, read_only=not writable)
    return LatentStore(location, zarr.open_group(store, mode="r+" if writable else "r", zarr_format=3))


def reopen(location: str, seal: str, writable: bool) -> LatentStore:
    """Open a store that was sent from another process; a process opens it once.

    Raises
    ------
    StoreError
        If this machine does not see it, or sees another one there.
    """
    return _reopened(location, seal, writable)


@lru_cache(maxsize=16)
def _reopened(location: str, seal: str, writable: bool) -> LatentStore:
    if read_root(location) is None:
        raise StoreError(
            f"{location} is not to be seen on {socket.gethostname()}; name the store by a path that all "
            "machines share, or by a URL such as s3://bucket/z.zarr"
        )
    store = open_store(location, writable=writable)
    if store.attributes[SEAL] != seal:
        raise StoreError(f"{location} is another store on {socket.gethostname()} than where it was opened")
    return store

"""Reading a LatentStore: what it holds, which blocks are committed, and verified blocks of it."""

from __future__ import annotations

import html
import math
import shlex
import socket
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.errors import StoreError, UsageError, parameter, shown
from latentscan.images.source import DTYPES, MISSING
from latentscan.paths import absolute, is_url
from latentscan.store.atomic import backing
from latentscan.store.chunks import (
    READ_ERRORS,
    ChunkError,
    checksum_of,
    decode_chunk,
    digest_of,
    longest_file,
    read_files,
    unreadable,
)
from latentscan.store.metadata import SEAL, no_store, open_sealed, read_root
from latentscan.store.results import ResultEntry, Results
from latentscan.store.schema import (
    ATTRIBUTE_ARRAYS,
    BLOCKS_LIMIT,
    CATEGORIES,
    COMMITS,
    DIGEST_BYTES,
    LATENT_SHAPE,
    READABLE_VERSIONS,
    Schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import zarr
    from numpy.typing import NDArray
    from zarr.core.metadata import ArrayV3Metadata


RESUME_COMMAND = "resume_command"  # the attribute
DIGESTS_TOGETHER = 64  # chunks of the commit record that are asked for at once


class LatentStore:
    """The latents of a whole data set, on a disk or at a URL.

    Only the location is pickled: the store is opened again, once in each process.

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
        self.format_version: int = _require_readable(location, self.attributes)
        self.schema: Schema = _schema_of(location, self.attributes.get("schema"))

    def __repr__(self) -> str:
        schema = self.schema
        return f"<LatentStore {self.location}: {schema.images} images × {schema.components} components>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks; what a user or a file named appears as text."""
        schema = self.schema
        facts = {
            "images": f"{schema.images:,}",
            "components": f"{schema.components:,}",
            "arrays": ", ".join(f"{spec.name} ({spec.dtype})" for spec in schema.arrays),
            "blocks": f"{schema.blocks:,} of {schema.chunk_rows:,} images",
            "encoder": str(self.attributes.get("encoder", {}).get("name", "none")),
            "source": str(self.attributes.get("source", {}).get("name", "latents")),
        }
        rows = (f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in facts.items())
        title = f"<caption>LatentStore {html.escape(self.location)}</caption>"
        return f"<table>{title}{''.join(rows)}</table>"

    def __len__(self) -> int:
        return self.schema.images

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (absolute(self.location), self.attributes[SEAL], not self.group.store.read_only)

    def array(self, name: str) -> zarr.Array[Any]:
        """Return an array, lazily: rows are read when it is indexed.

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

    @property
    def path(self) -> zarr.Array[Any]:
        """The paths of the images relative to their source, (image,) str."""
        return self.array("path")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The axes of a latent, of which a row is the components in C order; of most models a single one.

        Raises
        ------
        StoreError
            If what the store says of it is damaged.
        """
        stored = self.attributes.get(LATENT_SHAPE, [self.schema.components])
        whole = isinstance(stored, list) and all(type(length) is int and length > 0 for length in stored)
        if not whole or math.prod(stored) != self.schema.components:
            raise StoreError(
                f"{self.location}: its {LATENT_SHAPE} {shown(stored)} is damaged: expected axes of "
                f"{self.schema.components:,} components"
            )
        return tuple(stored)

    def categories(self, label: str) -> tuple[str, ...]:
        """Return the texts that occur in a categorical attribute, in order; empty for one that is not."""
        return tuple(self.attributes.get(CATEGORIES, {}).get(label, ()))

    def read_attribute(self, label: str) -> NDArray[Any]:
        """Read an attribute of all images, (image,): int8, int64, float64, or texts.

        What is not known is 0 (of a binary attribute, else 1 or -1), the smallest integer, NaN, or "". The
        rows of blocks that are not written are such.

        Parameters
        ----------
        label
            Its name, one of those in `schema.labelled`.

        Raises
        ------
        UsageError
            If no attribute has that name.
        ChunkError
            If a part of it is damaged.
        """
        kind, column = self.schema.place_of(label)
        name, digests = ATTRIBUTE_ARRAYS[kind], self.digests()
        values = np.full(len(self), MISSING[kind], DTYPES[kind])
        for block in np.flatnonzero(digests.any(axis=(1, 2))).tolist():
            rows = self.schema.rows(block)
            found = self.read_block(block, (name,), digests[block])[name]
            values[rows.start : rows.stop] = found[:, column]
        return values

    def results(self) -> list[ResultEntry]:
        """Return the results that are cached in the store, each compared with what was saved."""
        return Results(self.location).entries()

    @property
    def digest(self) -> zarr.Array[Any]:
        """The commit record, (block, array, byte) uint8."""
        return self._arrays["digest"]

    @property
    def resume_command(self) -> str:
        """The command that wrote it, which ends in where the store was then; empty where it is not known."""
        return str(self.attributes.get(RESUME_COMMAND, ""))

    def completing_command(self) -> str:
        """Return what writes the blocks that are missing: a command, as far as the store knows it."""
        words = shlex.split(self.resume_command)
        if not words:
            return "repeat the command that wrote it"
        return shlex.join([*words[:-1], absolute(self.location)])  # it may have been moved since

    @property
    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """The names along the dimensions that have names, by the path of their array."""
        return {self._commits_path("array"): self.schema.names, **self.schema.coordinates}

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array[Any]]:
        paths = {name: name for name in self.schema.names} | {"digest": self._commits_path("digest")}
        return {name: self.array(path) for name, path in paths.items()}

    def require_declared(self) -> None:
        """Check that the arrays have the shapes and types that the schema declares.

        Raises
        ------
        StoreError
            If they have not.
        """
        schema, commit = self.schema, (len(self.schema.names), DIGEST_BYTES)
        # in some old stores more than there are images
        stored_rows = self.attributes["schema"]["chunk_rows"]
        declared: list[tuple[str, int, int, tuple[int, ...], str]] = [
            (spec.name, schema.images, stored_rows, () if spec.second is None else (spec.width,), spec.dtype)
            for spec in schema.arrays
        ]
        for name, images, rows, others, dtype in [*declared, ("digest", schema.blocks, 1, commit, "uint8")]:
            array = self._arrays[name]
            found = (array.shape, array.chunks, "str" if array.dtype.kind in "OT" else str(array.dtype))
            expected = ((images, *others), (rows, *others), dtype)
            if found != expected:
                raise StoreError(
                    f"{self.location}: the metadata of array {name!r} is damaged: shape, chunks and type are "
                    f"{found}, expected {expected}"
                )

    def _commits_path(self, name: str) -> str:
        return name if self.format_version == 1 else f"{COMMITS}/{name}"

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
                return np.asarray(self.digest[:], np.uint8)
        except READ_ERRORS:
            return np.stack([self.read_digests(block) for block in range(self.schema.blocks)])

    def bytes_by_array(self) -> dict[str, int]:
        """Return the size of the files of every array, by its name."""
        from zarr.core.sync import sync

        return {name: sync(self.group.store.getsize_prefix(name)) for name in self.schema.names}

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
                + (f"; to go ahead without it: {parameter('allow_partial', True)}" if written else "")
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
        """Return which blocks are written, (block,)."""
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
        return {name: self._verified(block, name, digests, fetched.get(name)) for name in wanted}

    def verify_chunk(self, block: int, name: str, digests: NDArray[np.uint8]) -> None:
        """Compare an array of a block with the whole of its digest, and its file with its own checksum.

        Raises
        ------
        ChunkError
            If it is missing, damaged, or another's.
        """
        if digest_of(self.read_chunk(block, name)) != digests[self.schema.names.index(name)].tobytes():
            raise self._mismatch(block, name)

    def _verified(
        self, block: int, name: str, digests: NDArray[np.uint8], fetched: NDArray[np.uint8] | None
    ) -> NDArray[Any]:
        plain = self._is_plain(name)
        array = self._map_chunk(block, name, fetched) if plain else self.read_chunk(block, name)
        if not digests[self.schema.names.index(name)].tobytes().endswith(checksum_of(array)):
            self.read_chunk(block, name)  # knows whether the chunk's own checksum differs
            raise self._mismatch(block, name)
        return array

    def _is_plain(self, name: str) -> bool:
        return self.schema.compression == "none" and self._arrays[name].dtype.kind in "fiu"

    def _fetched(self, block: int, names: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
        """Read the chunks of a block at once, since a server takes long to answer, and can answer many."""
        plain = [name for name in names if self._is_plain(name)]
        keys, limits = [self.chunk_key(block, name) for name in plain], map(self._longest_file, plain)
        found = read_files(self.location, self.group.store, keys, list(limits))
        return {name: content for name, content in zip(plain, found, strict=True) if content is not None}

    def _map_chunk(self, block: int, name: str, fetched: NDArray[np.uint8] | None) -> NDArray[Any]:
        """Read an array of a block whose chunk is nothing but its rows and a checksum."""
        array, rows = self._arrays[name], len(self.schema.rows(block))
        content = self._content(block, name) if fetched is None else fetched
        key = self.chunk_key(block, name)
        if content is None:
            raise ChunkError(self.location, key, "is missing")
        size = self._longest_file(name)
        if len(content) != size:
            problem = f"is damaged: it is {len(content):,} bytes long, expected {size:,}"
            raise ChunkError(self.location, key, problem)
        values = content[: rows * math.prod(array.shape[1:]) * array.dtype.itemsize]
        return values.view(array.dtype.newbyteorder("<")).reshape(rows, *array.shape[1:])

    def read_chunk(self, block: int, name: str) -> NDArray[Any]:
        """Read an array of a block as it is, padding and checksum verified; zero for a digest not written.

        Raises
        ------
        ChunkError
            If it is missing, its checksum is wrong, or it cannot be decoded.
        """
        array = self._arrays[name]
        rows = len(self.schema.rows(block)) if name != "digest" else 1
        content = self._content(block, name)
        if content is None and name == "digest":
            return np.zeros((rows, *array.shape[1:]), np.uint8)
        if content is None:
            raise ChunkError(self.location, self.chunk_key(block, name), "is missing")
        try:
            return decode_chunk(content, _metadata(array))[:rows]
        except (*READ_ERRORS, ArithmeticError) as error:
            raise ChunkError(self.location, self.chunk_key(block, name), unreadable(error)) from error

    def read_names(self, path: str) -> list[str] | None:
        """Read the array of names along a dimension; None where it is missing or damaged."""
        metadata = _metadata(self.array(path))
        key = f"{path}/{metadata.encode_chunk_key((0,))}"
        try:
            content = read_files(self.location, self.group.store, [key], [longest_file(metadata)])[0]
            found = None if content is None else decode_chunk(content, metadata).tolist()
        except READ_ERRORS:
            return None
        return cast("list[str] | None", found)

    def _content(self, block: int, name: str) -> NDArray[np.uint8] | None:
        """Read the file of a chunk; None where it does not exist."""
        key = self.chunk_key(block, name)
        try:
            return read_files(self.location, self.group.store, [key], [self._longest_file(name)])[0]
        except OSError as error:
            raise ChunkError(self.location, key, unreadable(error)) from error

    def _longest_file(self, name: str) -> int:
        return longest_file(_metadata(self._arrays[name]))

    def _mismatch(self, block: int, name: str) -> ChunkError:
        """Return the error of a chunk whose content is not what was committed."""
        problem = "is not what was committed: its digest differs"
        return ChunkError(self.location, self.chunk_key(block, name), problem)

    def chunk_key(self, block: int, name: str) -> str:
        """Return the file of a block's array inside the store."""
        array = self._arrays[name]
        return f"{array.path}/{array.metadata.encode_chunk_key((block,) + (0,) * (array.ndim - 1))}"


def open_store(location: str, *, writable: bool = False) -> LatentStore:
    """Open a LatentStore.

    Raises
    ------
    StoreError
        If there is none at `location`, or its metadata is damaged.
    """
    root = read_root(location)
    if root is None:
        raise no_store(location)
    if SEAL not in root.get("attributes", {}):
        raise StoreError(f"{location} is a Zarr group, but no latent store: its attributes lack {SEAL}")
    _require_readable(location, root["attributes"])
    store = LatentStore(location, open_sealed(backing(location, read_only=not writable), root))
    store.require_declared()
    return store


def _metadata(array: zarr.Array[Any]) -> ArrayV3Metadata:
    return cast("ArrayV3Metadata", array.metadata)


def _schema_of(location: str, stored: Any) -> Schema:
    """Return the schema in a store's attributes.

    Raises
    ------
    StoreError
        If no store has that one.
    """
    try:
        lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
        schema = Schema(**{**stored, **lists})
    except (UsageError, TypeError, KeyError) as error:
        raise StoreError(f"{location}: its schema is damaged: {error}") from error
    if schema.blocks > BLOCKS_LIMIT:
        raise StoreError(
            f"{location}: its schema is damaged: {schema.blocks:,} blocks are more than any store has"
        )
    return schema


def _require_readable(location: str, attributes: Mapping[str, Any]) -> int:
    version = attributes.get("format_version")
    if version not in READABLE_VERSIONS:
        raise StoreError(
            f"{location}: format version is {version}, expected {max(READABLE_VERSIONS)} or less; "
            "open it with the latentscan that wrote it"
        )
    return int(version)


def reopen(location: str, seal: str, writable: bool) -> LatentStore:
    """Open a store that was sent from another process; a process opens it once.

    Raises
    ------
    StoreError
        If this machine sees no store at the location, or another one.
    """
    return _reopened(location, seal, writable)


@lru_cache(maxsize=16)
def _reopened(location: str, seal: str, writable: bool) -> LatentStore:
    if read_root(location) is None:
        raise StoreError(
            f"{location} is not visible from {socket.gethostname()}; name the store by a path that all "
            "machines share, or by a URL such as s3://bucket/z.zarr"
        )
    store = open_store(location, writable=writable)
    if store.attributes[SEAL] != seal:
        raise StoreError(f"{location} is another store on {socket.gethostname()} than where it was opened")
    return store

"""Results of analyses, stored as groups that xarray reads as Datasets."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.errors import StoreError, UsageError, parameter
from latentscan.store.atomic import (
    METADATA,
    backing,
    exists,
    is_writable,
    list_names,
    publish,
    read_json,
    remove_empty_group,
    require_folder_of,
)
from latentscan.store.chunks import READ_ERRORS, decode_chunk, digest_of, longest_file, read_files
from latentscan.store.metadata import GROUP, RESULTS, SEAL, change_list, listed_nodes, read_root
from latentscan.store.schema import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray
    import zarr
    from numpy.typing import NDArray
    from zarr.abc.store import Store
    from zarr.core.metadata import ArrayV3Metadata

    from latentscan.store.metadata import Nodes

CONTENT = "content_sha256"  # these attributes of a group are no part of the result
CREATED = "created"
UNLISTED = "unlisted"
STATE = "-state"  # the ending of the group of an analysis' states
COORDINATES = "coordinates"
# the attributes that say which result it is
IDENTITY = ("analysis", "version", "parameters", "inputs", "requires", "key", "shown")


@dataclass(frozen=True)
class Variable:
    """A named array's dimensions and values, with attributes such as its unit.

    Values are in C order, as they are read from a store: sums over them in another order round otherwise, and
    what is computed of a new result would differ from what is computed of a cached one.
    """

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, order="C"))


@dataclass(frozen=True)
class Result:
    """What an analysis found: an xarray Dataset, without the wait for xarray's import.

    A variable whose name is its only dimension is a coordinate, and so are those that the attribute
    ``coordinates`` names, separated by spaces, as xarray reads it.

    Parameters
    ----------
    variables
        By name.
    attributes
        As JSON.
    parts
        Results of other analyses that belong to its presentation, by analysis; they are not saved with it.
    """

    variables: Mapping[str, Variable]
    attributes: Mapping[str, Any]
    parts: Mapping[str, Sequence[Result]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.variables[name].values

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def to_dataset(self) -> xarray.Dataset:
        """Return the result as an xarray Dataset."""
        import xarray as xr

        named = {name: (v.dims, v.values, dict(v.attributes)) for name, v in self.variables.items()}
        attributes = dict(self.attributes)
        coordinates = attributes.pop(COORDINATES, "").split()
        return xr.Dataset(named, attrs=attributes).set_coords(coordinates)

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Result:
        """Return an xarray Dataset as a result; its values are read into memory."""
        variables = {
            str(name): Variable(tuple(map(str, array.dims)), np.asarray(array.values), dict(array.attrs))
            for name, array in dataset.variables.items()
        }
        named = [name for name in map(str, dataset.coords) if variables[name].dims != (name,)]
        attributes = {str(name): value for name, value in dataset.attrs.items()}
        return cls(variables, attributes | ({COORDINATES: " ".join(named)} if named else {}))


@dataclass(frozen=True)
class ResultEntry:
    """A result that exists at a location, whether or not it can be read.

    Parameters
    ----------
    path
        The group, ``analyses/<analysis>/<key>``.
    attributes
        Those of the result; empty where its metadata cannot be read.
    created
        When it was saved, UTC; None where that was not recorded.
    bytes
        The sum of the sizes of its files.
    is_listed
        Whether the root's list has it.
    is_state
        Whether it is the state of an interrupted computation, which is not to be listed.
    problem
        Why it is not read; empty where it is intact.
    """

    path: str
    analysis: str
    key: str
    attributes: Mapping[str, Any]
    created: datetime | None
    bytes: int
    is_listed: bool
    is_state: bool
    problem: str

    @property
    def is_intact(self) -> bool:
        """Whether it is what was saved, under its own key."""
        return not self.problem


class Results:
    """The results of analyses at a location: in a latent store, or at one of their own.

    Parameters
    ----------
    location
        Path or URL of the Zarr group that holds the group ``analyses``.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def require_writable(self) -> None:
        """Check, before any work, that results can be saved at the location.

        Raises
        ------
        UsageError
            If it is neither a store, nor a location of results alone, nor a folder that does not exist yet;
            or if it is read-only.
        """
        root = read_root(self.location)
        if root is None or SEAL not in root.get("attributes", {}):
            require_folder_of(self.location, {RESULTS, JOBS} | ({METADATA} if root is not None else set()))
        if not is_writable(self.location, RESULTS):
            raise self._read_only()

    def load(self, path: str) -> Result | None:
        """Read a result; None where it does not exist, is not what was saved, or is another's.

        Parameters
        ----------
        path
            The group, ``analyses/<analysis>/<key>``.
        """
        result, problem = self._examine(path)
        return None if problem else result

    def attributes(self, path: str) -> Mapping[str, Any] | None:
        """Read the attributes of a result, and nothing else of it; None where it does not exist."""
        try:
            node = read_json(backing(self.location, read_only=True), f"{path}/{METADATA}")
        except (*READ_ERRORS, RecursionError):
            return None
        attributes = None if node is None else node.get("attributes")
        if not isinstance(attributes, dict) or UNLISTED in attributes or CONTENT not in attributes:
            return None
        return None if attributes.get("key") != path.rpartition("/")[2] else attributes

    def paths(self, analysis: str) -> list[str]:
        """Return the groups of an analysis' results in the order of their keys, readable or not."""
        names = sorted(list_names(self.location, f"{RESULTS}/{analysis}"))
        return [f"{RESULTS}/{analysis}/{key}" for key in names if key != METADATA]

    def save(self, path: str, result: Result) -> None:
        """Write a result whole or not at all, and add it to the list in the root's metadata.

        Parameters
        ----------
        path
            The group, ``analyses/<analysis>/<key>``; what it held before is replaced.
        result
            What is written.

        Raises
        ------
        StoreError
            If a server refuses the write, or others changed the list each time.
        """
        nodes = self._publish(path, result, {})

        def changed(listed: Nodes) -> Nodes:
            """List what is there now: another process may have saved it anew meanwhile, or removed it."""
            is_own = self._own_attributes(path) == nodes[path]["attributes"]
            return {**_without(listed, path), **(nodes if is_own else self._nodes(path) or {})}

        change_list(self.location, changed)

    def save_unlisted(self, path: str, result: Result) -> None:
        """Write the state of an interrupted computation whole or not at all, and leave the list as it is.

        Tasks that run at once may do so.
        """
        self._publish(path, result, {UNLISTED: path})

    def remove(self, path: str) -> None:
        """Remove a result from the root's list, then its files; nothing happens where it does not exist.

        Its metadata goes after its arrays: of an interrupted removal, a result that is damaged is left, which
        is found and removed as any other.

        Raises
        ------
        UsageError
            If the location is read-only.
        """
        from zarr.core.sync import sync

        try:
            if path in self._listed():
                change_list(self.location, lambda listed: _without(listed, path))
            store, marker = backing(self.location, read_only=False), f"{path}/{METADATA}"
            for name in list_names(self.location, path):
                with suppress(FileNotFoundError, ValueError):  # a file of nobody goes with the folder
                    if name != METADATA:
                        sync(store.delete_dir(f"{path}/{name}"))
            if exists(self.location, marker):
                sync(store.delete(marker))
            with suppress(FileNotFoundError):  # another process removes it too
                sync(store.delete_dir(path))
            if (group := path.rpartition("/")[0]).endswith(STATE):
                remove_empty_group(self.location, group)
        except OSError as error:
            if _is_refusal(error):
                raise self._read_only() from error
            if error.errno != errno.ENOTEMPTY:  # another process writes into it again
                raise

    def relist(self, path: str) -> None:
        """Add an existing result to the root's list where it is missing from it.

        That is what a kill between the writing of a result and its listing leaves. Nothing happens where the
        location is read-only: the result is read all the same.
        """
        if path in self._listed():
            return
        if self._nodes(path) is None or UNLISTED in self._own_attributes(path):
            return
        try:
            change_list(self.location, lambda listed: {**_without(listed, path), **(self._nodes(path) or {})})
        except (OSError, StoreError) as error:
            if not _is_refusal(error) and not _is_refusal(error.__cause__):
                raise

    def entries(self) -> list[ResultEntry]:
        """Find every result at the location, by its folders and in the order of their names.

        Each result is read and compared with what was saved.
        """
        listed = self._listed()
        return [
            self._entry(path, is_listed=path in listed)
            for analysis in sorted(list_names(self.location, RESULTS))
            if analysis != METADATA
            for path in self.paths(analysis)
            if (names := list_names(self.location, path))
            # without metadata, it was never written to its end
            and (METADATA in names or path in listed)
        ]

    def listing(self, entries: Iterable[ResultEntry]) -> Nodes:
        """Return the list that the root should have, by path: that of the intact ones of these results."""
        nodes: Nodes = {}
        for entry in entries:
            if entry.is_intact and not entry.is_state:
                nodes |= self._nodes(entry.path) or {}
        return nodes

    def _entry(self, path: str, *, is_listed: bool) -> ResultEntry:
        from zarr.core.sync import sync

        _, analysis, key = path.split("/")
        own, (result, problem) = self._own_attributes(path), self._examine(path)
        try:
            created = datetime.fromisoformat(own[CREATED])
        except (KeyError, TypeError, ValueError):
            created = None
        return ResultEntry(
            path,
            analysis,
            key,
            {} if result is None else result.attributes,
            created,
            sync(backing(self.location, read_only=True).getsize_prefix(path)),
            is_listed,
            UNLISTED in own,
            problem,
        )

    def _examine(self, path: str) -> tuple[Result | None, str]:
        """Read a result, whatever it is, and say what is wrong with it; nothing where it is intact."""
        from zarr.errors import GroupNotFoundError

        try:
            result, content = self._read(path)
        except GroupNotFoundError:
            return None, "was not written to its end"
        except _UNREADABLE as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return None, f"cannot be read: {reason or type(error).__name__}"
        if content not in (_content(result), _content_of_format_1(result)):
            return result, "is not what was saved"
        state = self._own_attributes(path).get(UNLISTED, path)
        if state not in (path, True):  # True is what earlier versions wrote
            return result, f"is another state, of {state}"
        for name, own in zip(("analysis", "key"), path.split("/")[1:], strict=False):
            if result.attributes.get(name, own) != own:
                return result, f"is another result, of {name} {result.attributes[name]}"
        return result, ""

    def _read(self, path: str) -> tuple[Result, str | None]:
        """Read a result, all of its variables at once, and the hash of what was saved."""
        import zarr
        from zarr.core.sync import sync
        from zarr.storage import StorePath

        place = StorePath(backing(self.location, read_only=True), path)

        async def read() -> tuple[dict[str, Any], dict[str, Any]]:
            group = await zarr.AsyncGroup.open(place, zarr_format=3, use_consolidated=False)
            names = sorted([name async for name in place.store.list_dir(path) if name != METADATA])
            found = await asyncio.gather(*(_find_array(group, name) for name in names))
            return {**group.attrs}, dict(zip(names, found, strict=True))

        attributes, found = sync(read())
        content = attributes.pop(CONTENT, None)
        for name in (CREATED, UNLISTED):
            attributes.pop(name, None)
        arrays = {name: array for name, array in found.items() if array is not None}
        values = _read_arrays(self.location, place.store, arrays)
        variables = {
            name: Variable(_dimensions(array), values[name], dict(array.attrs))
            for name, array in arrays.items()
        }
        return Result(variables, attributes), content

    def _publish(self, path: str, result: Result, attributes: Mapping[str, Any]) -> Nodes:
        """Write a result, and return its metadata, and that of the groups above it, by path."""

        def build(group: zarr.Group) -> None:
            for name, variable in result.variables.items():
                _write_variable(group, name, variable)
            created = datetime.now(UTC).isoformat(timespec="milliseconds")
            group.update_attributes(
                {**result.attributes, CONTENT: _content(result), CREATED: created, **attributes}
            )

        return {at: node for at, node in publish(self.location, path, build).items() if at}

    def _own_attributes(self, path: str) -> dict[str, Any]:
        """Return the attributes of a result's group as its file has them; empty where it cannot be read."""
        try:
            node = read_json(backing(self.location, read_only=True), f"{path}/{METADATA}") or {}
        except (*READ_ERRORS, RecursionError):
            return {}
        attributes = node.get("attributes")
        return attributes if isinstance(attributes, dict) else {}

    def _nodes(self, path: str) -> Nodes | None:
        """Return the metadata of a result as its files have it, and of the groups above it."""
        store, nodes = backing(self.location, read_only=True), _parents(path)
        try:
            for name in ("", *sorted(list_names(self.location, path))):
                at = f"{path}/{name}".rstrip("/")
                if not name.endswith(METADATA) and (node := read_json(store, f"{at}/{METADATA}")) is not None:
                    nodes[at] = node
        except (*READ_ERRORS, RecursionError):
            return None
        return nodes if path in nodes else None

    def _listed(self) -> Nodes:
        root = read_root(self.location)
        return {} if root is None else listed_nodes(root)

    def _read_only(self) -> UsageError:
        return UsageError(
            f"{self.location} is read-only; save the results elsewhere, with {parameter('results')}"
        )


# whatever damaged metadata leads to
_UNREADABLE = (*READ_ERRORS, LookupError, TypeError, AttributeError, MemoryError, RecursionError)


def _parents(path: str) -> Nodes:
    """Return the metadata of the groups above a result, by path."""
    parts = path.split("/")
    return {"/".join(parts[:end]): GROUP for end in range(1, len(parts))}


def _without(listed: Nodes, path: str) -> Nodes:
    """Return a list without a result, and without groups that then hold none."""
    left = {at: node for at, node in listed.items() if not f"{at}/".startswith(f"{path}/")}
    for group in reversed(_parents(path)):
        if not any(at.startswith(f"{group}/") for at in left):
            left.pop(group, None)
    return left


def _write_variable(group: zarr.Group, name: str, variable: Variable) -> None:
    from zarr.codecs import Crc32cCodec

    values = variable.values
    text = values.dtype.kind in "UTO"
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, length) for length in values.shape),
        dtype=str if text else values.dtype,
        compressors=(Crc32cCodec(),),
        dimension_names=variable.dims,
        attributes=dict(variable.attributes),
        config={"write_empty_chunks": True},
    )
    array[...] = values.astype(object) if text else values


async def _find_array(group: zarr.AsyncGroup, name: str) -> zarr.AsyncArray[Any] | None:
    """Open an array of a group; None where it is none."""
    import zarr

    try:
        found = await group.getitem(name)
    except KeyError:
        return None
    return found if isinstance(found, zarr.AsyncArray) else None


def _dimensions(array: zarr.AsyncArray[Any]) -> tuple[str, ...]:
    return cast("tuple[str, ...]", array.metadata.to_dict().get("dimension_names", ()))


def _read_arrays(
    location: str, store: Store, arrays: Mapping[str, zarr.AsyncArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Read arrays that are one chunk each.

    Raises
    ------
    ValueError
        If one is missing or damaged, or its metadata says something else than was written.
    """
    for name, array in arrays.items():
        if array.chunks != tuple(max(1, length) for length in array.shape):
            raise ValueError(f"{name} is not one chunk")
    held = {name: array for name, array in arrays.items() if 0 not in array.shape}
    keys = [f"{array.path}/{array.metadata.encode_chunk_key((0,) * array.ndim)}" for array in held.values()]
    limits = [longest_file(_as_v3(array)) for array in held.values()]
    values = {name: np.empty(array.shape, array.dtype) for name, array in arrays.items() if name not in held}
    for (name, array), content in zip(held.items(), read_files(location, store, keys, limits), strict=True):
        if content is None:
            raise ValueError(f"{name} is missing")
        values[name] = decode_chunk(content, _as_v3(array))
    return values


def _as_v3(array: zarr.AsyncArray[Any]) -> ArrayV3Metadata:
    return cast("ArrayV3Metadata", array.metadata)


def _content(result: Result) -> str:
    """Hash a result: its attributes, and of each variable the values, their type, shape and attributes."""
    return _hash_of([dict(result.attributes), {name: _described(v) for name, v in result.variables.items()}])


def _content_of_format_1(result: Result) -> str:
    """Hash a result as stores of format 1, and the first ones of format 2, do: of its values alone."""
    digests = {name: digest_of(variable.values).hex() for name, variable in result.variables.items()}
    return _hash_of([dict(result.attributes), digests])


def _described(variable: Variable) -> list[Any]:
    values = variable.values
    kind = "text" if values.dtype.kind in "OUT" else values.dtype.str
    return [digest_of(values).hex(), kind, values.shape, list(variable.dims), dict(variable.attributes)]


def _hash_of(document: list[Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _is_refusal(error: BaseException | None) -> bool:
    """Check whether an error says that a file system or a server lets nobody write."""
    return isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS)

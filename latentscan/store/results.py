"""Results of analyses, kept in the store as groups that xarray reads as Datasets."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.errors import UsageError
from latentscan.store.atomic import METADATA, backing, is_writable, publish, require_folder_of
from latentscan.store.chunks import READ_ERRORS, digest_of
from latentscan.store.metadata import RESULTS, SEAL, list_result, no_store, read_root
from latentscan.store.schema import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    import zarr
    from numpy.typing import NDArray


CONTENT = "content_sha256"
COORDINATES = "coordinates"


@dataclass(frozen=True)
class Variable:
    """A named array's dimensions and values, with attributes such as its unit."""

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What an analysis found: an xarray Dataset, without the wait for xarray's import.

    A variable whose name is its only dimension is a coordinate, and so are those that the attribute
    ``coordinates`` names, separated by spaces, as xarray reads it.
    """

    variables: Mapping[str, Variable]
    attributes: Mapping[str, Any]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.variables[name].values

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def to_dataset(self) -> xarray.Dataset:
        """Give the result as an xarray Dataset."""
        import xarray as xr

        named = {name: (v.dims, v.values, dict(v.attributes)) for name, v in self.variables.items()}
        attributes = dict(self.attributes)
        coordinates = attributes.pop(COORDINATES, "").split()
        return xr.Dataset(named, attrs=attributes).set_coords(coordinates)


def result_path(
    analysis: str, versions: Sequence[int], parameters: Mapping[str, Any], digests: NDArray[np.uint8]
) -> str:
    """Name the group of a result: by the analysis, its parameters, and the very data.

    `versions` are that of the analysis, and those of other results that went into it.
    `digests` is the commit record (block, array, 32) of what the result is computed from.
    """
    data = hashlib.sha256(digests.tobytes()).hexdigest()
    identity = json.dumps(
        {"versions": list(versions), "parameters": parameters, "data": data}, sort_keys=True
    )
    return f"{RESULTS}/{analysis}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def save_result(location: str, path: str, result: Result) -> None:
    """Write a result whole, and list it in the store's consolidated metadata."""
    list_result(location, save_hidden(location, path, result))


def save_hidden(location: str, path: str, result: Result) -> dict[str, Any]:
    """Write a result whole, but do not list it; tasks that run at once may do so. Gives its metadata."""

    def build(group: zarr.Group) -> None:
        for name, variable in result.variables.items():
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
        group.update_attributes({**result.attributes, CONTENT: _content(result)})

    from zarr.codecs import Crc32cCodec

    return publish(location, path, build)


def drop_result(location: str, path: str) -> None:
    """Remove a result that is not listed; what is not there need not be removed."""
    from zarr.core.sync import sync

    with suppress(OSError):  # another process removes it too, or writes into it again
        sync(backing(location, read_only=False).delete_dir(path))


def load_result(location: str, path: str) -> Result | None:
    """Read a result; None where it is not there, or is not what was saved."""
    import zarr
    from zarr.errors import GroupNotFoundError

    store = backing(location, read_only=True)
    try:
        group = zarr.open_group(store, path=path, mode="r", zarr_format=3, use_consolidated=False)
        variables = {
            name: Variable(
                cast("tuple[str, ...]", array.metadata.to_dict().get("dimension_names", ())),
                np.asarray(array[...]),
                dict(array.attrs),
            )
            for name, array in group.arrays()
        }
    except (GroupNotFoundError, KeyError, TypeError, *READ_ERRORS):  # whatever damaged metadata leads to
        return None
    attributes = dict(group.attrs)
    content = attributes.pop(CONTENT, None)
    result = Result(variables, attributes)
    return result if content == _content(result) else None


def list_results(location: str) -> list[tuple[str, str]]:
    """List the results that are kept at a location: the name of the analysis, and the path of the group.

    Raises
    ------
    StoreError
        If there is nothing.
    """
    root = read_root(location)
    if root is None:
        raise no_store(location)
    nodes = root.get("consolidated_metadata", {}).get("metadata", {})
    places = (path.split("/") for path, node in nodes.items() if node["node_type"] == "group")
    return sorted((place[1], "/".join(place)) for place in places if place[0] == RESULTS and len(place) == 3)


def require_place(location: str) -> None:
    """Make sure, before any work, that results can be kept at a location.

    Raises
    ------
    UsageError
        If it is neither a store, nor a place for results alone, nor a folder that does not exist yet; or
        if nothing can be written there.
    """
    root = read_root(location)
    if root is None or SEAL not in root.get("attributes", {}):
        require_folder_of(location, {RESULTS, JOBS} | ({METADATA} if root is not None else set()))
    if not is_writable(location, RESULTS):
        raise UsageError(f"{location} is read-only; keep the results elsewhere, with --results")


def _content(result: Result) -> str:
    digests = {name: digest_of(variable.values).hex() for name, variable in result.variables.items()}
    document = json.dumps([dict(result.attributes), digests], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()

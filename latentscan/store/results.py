"""Results of analyses, kept in the store as groups that xarray reads as Datasets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from latentscan.store.latent_store import READ_ERRORS, digest_of
from latentscan.store.metadata import RESULTS, list_result, read_root
from latentscan.store.publish import backing, publish
from latentscan.store.writer import require_folder_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray
    import zarr
    from numpy.typing import NDArray

    from latentscan.store.latent_store import LatentStore


CONTENT = "content_sha256"


@dataclass(frozen=True)
class Variable:
    """A named array's dimensions and values, with attributes such as its unit."""

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What an analysis found: an xarray Dataset, without the wait for xarray's import.

    A variable whose name is its only dimension is a coordinate.
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
        return xr.Dataset(named, attrs=dict(self.attributes))


def result_path(analysis: str, parameters: Mapping[str, Any], store: LatentStore) -> str:
    """Name the group of a result: by the parameters, and by the very data it was computed from."""
    data = hashlib.sha256(store.digests().tobytes()).hexdigest()
    identity = json.dumps({"parameters": parameters, "data": data}, sort_keys=True)
    return f"{RESULTS}/{analysis}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def save_result(location: str, path: str, result: Result) -> None:
    """Write a result whole, and list it in the store's consolidated metadata."""

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
        group.attrs.update({**result.attributes, CONTENT: _content(result)})

    from zarr.codecs import Crc32cCodec

    list_result(location, publish(location, path, build))


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
    except (GroupNotFoundError, *READ_ERRORS):
        return None
    attributes = dict(group.attrs)
    content = attributes.pop(CONTENT, None)
    result = Result(variables, attributes)
    return result if content == _content(result) else None


def require_place(location: str) -> None:
    """Make sure that results can be kept at a location: a store, or a folder that does not exist yet.

    Raises
    ------
    UsageError
        If something else is there.
    """
    if read_root(location) is None:
        require_folder_of(location, {RESULTS})


def _content(result: Result) -> str:
    digests = {name: digest_of(variable.values).hex() for name, variable in result.variables.items()}
    document = json.dumps([dict(result.attributes), digests], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()

"""What an analysis is of: a store, several, one and a model, one and its images, or a training run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from latentscan.errors import ParameterError, UsageError, parameter
from latentscan.paths import absolute, local_path, store_names
from latentscan.scan.snapshot import Snapshot
from latentscan.store.reader import LatentStore, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latentscan.images.source import ImageSource


@dataclass(frozen=True)
class Argument:
    """One thing that a user names when asking for an analysis.

    Parameters
    ----------
    name
        The option of the command, the key in a job file, the keyword in Python.
    help
        What it is, for the command's help.
    several
        Whether two or more are named, in a row.
    required
        Whether it must be named.
    """

    name: str
    help: str
    several: bool = False
    required: bool = True


@dataclass(frozen=True)
class Identity:
    """What decides the result of an analysis beside its parameters; part of the result's key.

    Parameters
    ----------
    contents
        A hash of what is written in each store.
    names
        The names of the stores, where they are part of the result.
    others
        Hashes of what else is read, such as a model, by name.
    """

    contents: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"contents": list(self.contents), "names": list(self.names), "others": dict(self.others)}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Identity:
        """Read it from JSON."""
        return cls(tuple(document["contents"]), tuple(document["names"]), dict(document["others"]))

    def of_each_store(self) -> tuple[Identity, ...]:
        """Return the identity of each store alone."""
        return tuple(Identity((content,)) for content in self.contents)


class Inputs(ABC):
    """What an analysis is of."""

    arguments: ClassVar[tuple[Argument, ...]]

    @classmethod
    @abstractmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open what a user named.

        Parameters
        ----------
        given
            By the name of the argument: a path or URL, or in Python what was opened already.
        allow_partial
            Accept a store with blocks that are not written, and leave these out.

        Raises
        ------
        StoreError
            If a store is missing, incomplete or damaged.
        UsageError
            If anything else does not fit.
        """

    @classmethod
    def needs_stores_alone(cls) -> bool:
        """Check whether nothing but stores must be named."""
        return all(one.name in {"store", "stores"} for one in cls.arguments if one.required)

    @property
    @abstractmethod
    def home(self) -> str:
        """Where results are cached by default."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """What decides the result."""

    @property
    @abstractmethod
    def stores(self) -> tuple[Snapshot, ...]:
        """The stores that are read."""

    def of_each_store(self) -> tuple[OneStore, ...]:
        """Return each store alone, in the order of `Identity.of_each_store`."""
        return tuple(OneStore(snapshot) for snapshot in self.stores)

    def document(self) -> dict[str, Any]:
        """Return what names the inputs in a JSON document."""
        return {"store": self.stores[0].location} if self.stores else {}


STORE = Argument("store", "the latent store")


@dataclass(frozen=True, eq=False)
class OneStore(Inputs):
    """An analysis of one store."""

    snapshot: Snapshot
    arguments: ClassVar[tuple[Argument, ...]] = (STORE,)

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``store``."""
        return cls(Snapshot.of(_opened(given["store"]), allow_partial=allow_partial))

    @property
    def home(self) -> str:
        """The store itself."""
        return self.snapshot.location

    @property
    def identity(self) -> Identity:
        """The content of the store."""
        return Identity((self.snapshot.content,))

    @property
    def stores(self) -> tuple[Snapshot, ...]:
        """The store."""
        return (self.snapshot,)


@dataclass(frozen=True, eq=False)
class SeveralStores(Inputs):
    """An analysis of two stores or more, by the names that they have in the result."""

    snapshots: Mapping[str, Snapshot]
    arguments: ClassVar[tuple[Argument, ...]] = (
        Argument("stores", "two latent stores or more", several=True),
    )

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``stores``: paths or URLs, which are named after their ends, or opened stores by name."""
        stores = given["stores"]
        if isinstance(stores, LatentStore | str):
            raise UsageError(f"expected two stores or more, got {stores}")
        if not hasattr(stores, "items"):
            stores = dict(zip(_names_of(stores), stores, strict=True))
        if len(stores) < 2:
            raise UsageError(f"expected two stores or more, got {', '.join(stores) or 'none'}")
        opened = {name: _opened(store) for name, store in stores.items()}
        for (name, store), (other, same) in combinations(opened.items(), 2):
            if _resolved(store) == _resolved(same):
                raise UsageError(f"{name} and {other} are the same store, {store.location}; name each once")
        return cls({name: Snapshot.of(store, allow_partial=allow_partial) for name, store in opened.items()})

    @property
    def home(self) -> str:
        """The first store."""
        return self.stores[0].location

    @property
    def identity(self) -> Identity:
        """The contents of the stores, in their order, and their names."""
        return Identity(tuple(snapshot.content for snapshot in self.stores), tuple(self.snapshots))

    @property
    def stores(self) -> tuple[Snapshot, ...]:
        """The stores in their order."""
        return tuple(self.snapshots.values())

    def document(self) -> dict[str, Any]:
        """Return nothing: the result has the names."""
        return {}


@dataclass(frozen=True, eq=False)
class StoreAndModel(OneStore):
    """An analysis of a store and of the model that wrote it, a run folder or a file."""

    model: Path
    model_sha256: str
    arguments: ClassVar[tuple[Argument, ...]] = (
        STORE,
        Argument("model", "the model that wrote the store: a run folder, or an encoder file"),
    )

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``store``, and check that ``model`` is the one that wrote it."""
        from latentscan.models.packing import sha256 as sha256_of
        from latentscan.models.run_folder import RunFolder as Folder

        one = OneStore.open(given, allow_partial=allow_partial)
        model = local_path(given["model"])
        if not model.exists():
            raise ParameterError("does not exist", field="model", value=model)
        found = sha256_of(Folder(model).encoder if Folder(model).record.exists() else model)
        written_by = one.snapshot.store.attributes.get("encoder", {}).get("sha256")
        if written_by is None:
            raise UsageError(f"{one.home} was not written by an encoder, so no model belongs to it")
        if found != written_by:
            raise ParameterError(
                f"{one.home} was written by an encoder with SHA-256 {written_by[:12]}..., this one has "
                f"{found[:12]}...; name the model that wrote the store",
                field="model",
                value=model,
            )
        return cls(one.snapshot, model, found)

    @property
    def identity(self) -> Identity:
        """The content of the store, and the hash of the model."""
        return Identity((self.snapshot.content,), others={"model": self.model_sha256})

    def document(self) -> dict[str, Any]:
        """Return the names of the store and the model."""
        return {**super().document(), "model": str(self.model)}


@dataclass(frozen=True, eq=False)
class StoreAndDecoder(OneStore):
    """An analysis of a store and of what a decoder makes of its latents.

    The model is the run folder that wrote the store; or its encoder, with the decoder beside it; or the
    decoder alone, of which nobody can check that it belongs to the store.
    """

    model: Path
    decoder: Path
    hashes: Mapping[str, str]  # of the encoder, under ``model``, and of the decoder
    arguments: ClassVar[tuple[Argument, ...]] = (
        STORE,
        Argument("model", "the run folder that wrote the store, or its encoder, or its decoder alone"),
        Argument(
            "decoder",
            "the decoder, a .keras or an .onnx file, where the model is an encoder",
            required=False,
        ),
    )

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``store`` and ``model``, and find the decoder: of the run, named, or the model itself."""
        from latentscan.models.packing import sha256 as sha256_of
        from latentscan.models.run_folder import RunFolder as Folder

        snapshot = OneStore.open(given, allow_partial=allow_partial).snapshot
        model, named = local_path(given["model"]), given.get("decoder")
        folder, encoder = Folder(model), snapshot.store.attributes.get("encoder", {})
        is_run = folder.record.exists()
        if named is None and not is_run and model.is_file():
            found = sha256_of(model)
            if found != encoder.get("sha256"):
                return cls(snapshot, model, model, {"decoder": found})
            raise UsageError(
                f"{model} is no run folder, so its decoder is not known; name it: {parameter('decoder')}"
            )
        if is_run and not folder.encoder.exists():
            raise ParameterError(
                "this run has no encoder and no decoder: no epoch was finished", field="model", value=model
            )
        owner = StoreAndModel.open({**given, "store": snapshot.store}, allow_partial=allow_partial)
        decoder = folder.decoder if named is None else local_path(named)
        if not decoder.exists():
            raise ParameterError("does not exist", field="decoder", value=decoder)
        return cls(snapshot, model, decoder, {"model": owner.model_sha256, "decoder": sha256_of(decoder)})

    @property
    def decodes(self) -> Path:
        """The run folder where the decoder is its own, which says more of it, else its file."""
        own = self.decoder.parent == self.model and self.decoder.name == "decoder.keras"
        return self.model if own else self.decoder

    @property
    def encoder(self) -> Path | None:
        """The run folder or the file of the encoder that wrote the store; None where it is not named."""
        return self.model if "model" in self.hashes else None

    @property
    def identity(self) -> Identity:
        """The content of the store, and the hashes of the encoder, where it is named, and of the decoder."""
        return Identity((self.snapshot.content,), others=self.hashes)

    def document(self) -> dict[str, Any]:
        """Return the names of the store, the model, and the decoder where it is another file."""
        other = {} if self.decodes == self.model else {"decoder": str(self.decoder)}
        return {**super().document(), "model": str(self.model), **other}


@dataclass(frozen=True, eq=False)
class StoreAndImages(OneStore):
    """An analysis of a store and of the images that it is of."""

    images: str
    root: str | None  # the folder that a list's paths are relative to; None for its own
    source: ImageSource
    arguments: ClassVar[tuple[Argument, ...]] = (
        STORE,
        Argument("images", "the images that the store is of"),
        Argument("root", "the folder that a list's paths are relative to", required=False),
    )

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``store``, and check that it was made of ``images``, with the same ``root``."""
        from latentscan.encoding.stored_images import is_of_images, open_images_of

        one = OneStore.open(given, allow_partial=allow_partial)
        images, store = str(given["images"]), one.snapshot.store
        if not is_of_images(store):
            raise UsageError(f"{one.home} was not written from images, so none belong to it")
        root = None if given.get("root") is None else absolute(str(given["root"]))
        source = open_images_of(store, images, root)
        return cls(one.snapshot, images, root, source)

    @property
    def identity(self) -> Identity:
        """The content of the store, and where the images are."""
        where = {"images": absolute(self.images), **({"root": self.root} if self.root else {})}
        hashes = {name: sha256(location.encode()).hexdigest() for name, location in where.items()}
        return Identity((self.snapshot.content,), others=hashes)

    def document(self) -> dict[str, Any]:
        """Return the names of the store and the images, and of the folder of a list if one was given."""
        root = {"root": self.root} if self.root else {}
        return {**super().document(), "images": self.images, **root}


@dataclass(frozen=True, eq=False)
class RunFolder(Inputs):
    """An analysis of a training run: its record and history; results are cached in the folder."""

    run: Path
    record_sha256: str
    history_sha256: str
    arguments: ClassVar[tuple[Argument, ...]] = (Argument("run", "the folder of a training run"),)

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:  # noqa: ARG003 (no store)
        """Open ``run``."""
        from latentscan.models.packing import sha256 as sha256_of
        from latentscan.models.run_folder import RunFolder as Folder

        folder = Folder(local_path(given["run"]))
        folder.read_record()
        if not folder.history.exists():
            raise ParameterError(
                "no epoch is finished: there is no history.csv", field="run", value=folder.path
            )
        return cls(folder.path, sha256_of(folder.record), sha256_of(folder.history))

    @property
    def home(self) -> str:
        """A location inside the run folder."""
        return str(self.run / "results.zarr")

    @property
    def identity(self) -> Identity:
        """The hashes of the record and of the history."""
        return Identity(others={"record": self.record_sha256, "history": self.history_sha256})

    @property
    def stores(self) -> tuple[Snapshot, ...]:
        """None."""
        return ()

    def document(self) -> dict[str, Any]:
        """Return the name of the run."""
        return {"run": str(self.run)}


def _opened(store: LatentStore | str) -> LatentStore:
    return store if isinstance(store, LatentStore) else open_store(str(store))


def _resolved(store: LatentStore) -> Path:
    """Follow symbolic links to where a store lies; a URL stays what it is."""
    return Path(absolute(store.location)).resolve()


def _names_of(locations: Sequence[str]) -> list[str]:
    """Return the names of stores, the ends of their paths.

    Raises
    ------
    UsageError
        If two locations are the same.
    """
    paths = [absolute(location) for location in locations]
    same = {location for location, path in zip(locations, paths, strict=True) if paths.count(path) > 1}
    if same:
        problem = "is given twice" if len(same) == 1 else "are the same store"
        raise UsageError(f"{' and '.join(sorted(same))} {problem}; name each store once")
    return store_names(paths)

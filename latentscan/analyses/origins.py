"""A store with its model and its images, as far as they are named or needed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Self

from latentscan.analyses.inputs import STORE, Argument, Identity, OneStore, StoreAndImages, StoreAndModel
from latentscan.errors import ParameterError
from latentscan.models.packing import sha256 as sha256_of
from latentscan.models.run_folder import RunFolder
from latentscan.paths import absolute, local_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from latentscan.images.source import ImageSource
    from latentscan.scan.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class StoreAndOrigins(OneStore):
    """An analysis of a store that says more where its model and its images are named."""

    model: Path | None
    images: str | None
    root: str | None
    source: ImageSource | None
    hashes: Mapping[str, str]
    arguments: ClassVar[tuple[Argument, ...]] = (
        STORE,
        Argument("model", "the run folder that wrote the store, or its decoder", required=False),
        Argument("images", "the images that the store is of", required=False),
        Argument("root", "the folder that a list's paths are relative to", required=False),
    )

    @classmethod
    def unnamed(cls, snapshot: Snapshot) -> Self:
        """Return a store of which neither model nor images are named."""
        return cls(snapshot, None, None, None, None, {})

    @classmethod
    def open(cls, given: Mapping[str, Any], *, allow_partial: bool = False) -> Self:
        """Open ``store``, and check that it was made by ``model`` of ``images``, where these are given."""
        hashes: dict[str, str] = {}
        model, images, root, source = None, None, None, None
        one = OneStore.open(given, allow_partial=allow_partial)
        store = one.snapshot.store
        if given.get("model") is not None:
            model = local_path(given["model"])
            folder = RunFolder(model)
            if folder.record.exists():
                StoreAndModel.open({"store": store, "model": model}, allow_partial=allow_partial)
                files = {"history": folder.history, "decoder": folder.decoder}
            else:
                if not model.is_file():
                    raise ParameterError("does not exist", field="model", value=model)
                files = {"decoder": model}
            hashes |= {name: sha256_of(path) for name, path in files.items() if path.exists()}
        if given.get("images") is not None:
            opened = StoreAndImages.open({**given, "store": store}, allow_partial=allow_partial)
            images, root, source = opened.images, opened.root, opened.source
            where = {"images": absolute(images), **({"root": root} if root else {})}
            hashes |= {name: sha256(location.encode()).hexdigest() for name, location in where.items()}
        return cls(one.snapshot, model, images, root, source, hashes)

    @property
    def folder(self) -> RunFolder | None:
        """The run folder, where the model is one."""
        if self.model is None or not RunFolder(self.model).record.exists():
            return None
        return RunFolder(self.model)

    @property
    def decoder(self) -> Path:
        """What `load_decoder` reads, where a model is named.

        Raises
        ------
        ParameterError
            If it is a run without one.
        """
        if self.model is None or "decoder" not in self.hashes:
            raise ParameterError(
                "this run has no decoder.keras: no epoch was finished", field="model", value=self.model
            )
        return self.model

    @property
    def loss(self) -> str:
        """The reconstruction loss that the run was trained with; ``bce`` where no run is named."""
        folder = self.folder
        return "bce" if folder is None else folder.read_record().parameters.reconstruction

    @property
    def identity(self) -> Identity:
        """The content of the store, the hashes of the model's files, and where the images are."""
        return Identity((self.snapshot.content,), others=self.hashes)

    def document(self) -> dict[str, Any]:
        """Return the names of the store, the model and the images."""
        named = {"model": self.model, "images": self.images, "root": self.root}
        return {**super().document(), **{name: str(one) for name, one in named.items() if one is not None}}

"""What encoding would cost, and the schema of the store that it would write, without loading the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from latentscan.encoding.pipeline import DECODED_AHEAD
from latentscan.encoding.sources import open_source
from latentscan.errors import ParameterError
from latentscan.images.folder import FileSource
from latentscan.images.labelled import LabelledSource
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.kinds import function_of
from latentscan.models.run_folder import RunFolder
from latentscan.paths import as_path, local_path
from latentscan.scan.cost import Cost, latent_bytes, one_pass
from latentscan.store.metadata import SEAL, read_root
from latentscan.store.schema import Schema, label_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.encoding.parameters import Encode
    from latentscan.images.source import ImageSource
    from latentscan.models.run_folder import RunRecord

TOGETHER = 240  # images that are encoded at once, unless they are large; the encoder is not imported here
PIXEL_BYTES = 3 * (1 + DECODED_AHEAD) + 3 * 4  # as batches are decoded, and one of them as float32
SAMPLED_FILES = 256  # whose sizes stand for those of all


@dataclass(frozen=True)
class PlannedEncoding:
    """Images that would be encoded with a model.

    Parameters
    ----------
    asked
        What is asked for.
    model
        The run folder, or the file; one of those that are asked for.
    """

    asked: Encode
    model: str

    def schema(self) -> Schema | None:
        """Return the schema of the store that would be written; None where only the model itself can tell.

        Raises
        ------
        UsageError
            If there are no images, or no model.
        """
        record = self._record
        if record is None:
            self._check_images()
            return None
        asked, parameters, source = self.asked, record.parameters, self._source
        schema = Schema(
            len(source),
            parameters.z_dim,
            ("z",) if parameters.kind == "ae" else ("mu", "logvar", "z"),
            asked.chunk_rows,
            split=source.split is not None,
            compression=asked.compression,
            **label_fields(source.attributes),
        )
        schema.require_fitting_blocks()
        return schema

    def cost(self, schema: Schema | None, missing: int | None) -> Cost | None:
        """Return the cost of writing blocks, a task a block.

        Parameters
        ----------
        schema
            That of the store; the cost is None where it is.
        missing
            How many blocks are to be written; all of them if None.
        """
        if schema is None:
            return None
        blocks = schema.blocks if missing is None else missing
        rows = min(schema.chunk_rows, schema.images)
        held = 2 * latent_bytes(schema, rows, schema.latents) + min(rows, TOGETHER) * self._image_bytes
        encoding = Cost(blocks, self._file_bytes * blocks // schema.blocks, held)
        return encoding + one_pass(schema, ())  # in the end, rejected images are counted

    @cached_property
    def _record(self) -> RunRecord | None:
        """What is known of the training; None for a model of the user's."""
        model, _ = function_of(local_path(self.model))
        if not model.exists():
            raise ParameterError("does not exist", field="model", value=self.model)
        return RunFolder(model).read_record() if model.is_dir() else None

    @cached_property
    def _source(self) -> ImageSource:
        own = self._record.preprocessing.model_dump() if self._record is not None else {}
        chosen = Preprocessing.model_validate({**own, **self.asked.preprocessing})
        root = None if self.asked.root is None else as_path(self.asked.root)
        return open_source(
            as_path(self.asked.images),
            chosen,
            root=root,
            pixel_limit=self.asked.pixel_limit,
            attributes=self.asked.attributes,
        )

    def _check_images(self) -> None:
        """Check that there are images; which channels are the right ones, only the model itself can tell."""
        try:
            self._source  # noqa: B018
        except ParameterError as error:
            if error.field != "channels" or "channels" in self.asked.preprocessing:
                raise

    @property
    def _file_bytes(self) -> int:
        """The bytes of all images: from the sizes of some files, or as pixels where there are no files."""
        source = self._source.source if isinstance(self._source, LabelledSource) else self._source
        if not isinstance(source, FileSource) or not isinstance(source.root, Path):
            return 0
        step = -(-len(source) // SAMPLED_FILES)
        files = [source.root / path for path in source.paths[::step]]
        sizes = [file.stat().st_size for file in files if file.is_file()]
        return sum(sizes) * len(source) // max(1, len(sizes))

    @property
    def _image_bytes(self) -> int:
        """What an image takes while it is encoded: its pixels, and the two largest layers."""
        record = self._record
        own = record.preprocessing.model_dump() if record is not None else {}
        height, width, _ = Preprocessing.model_validate({**own, **self.asked.preprocessing}).shape
        filters = record.parameters.filters if record else ()
        layers = [
            (height >> depth) * (width >> depth) * count * 4 for depth, count in enumerate((3, *filters))
        ]
        return height * width * PIXEL_BYTES + sum(sorted(layers)[-2:])


def together(parts: Sequence[Cost]) -> Cost:
    """Return the cost of writing several stores in one pass over the images.

    Examples
    --------
    >>> together([Cost(5, 1000, 70), Cost(5, 1000, 80)])
    Cost(tasks=5, bytes_read=1000, task_bytes=150)
    """
    return Cost(
        max(part.tasks for part in parts),
        max(part.bytes_read for part in parts),
        sum(part.task_bytes for part in parts),
    )


def store_begun(location: str) -> bool:
    """Return whether a location holds a latent store, if only an unfinished one."""
    root = read_root(location)
    return root is not None and SEAL in root.get("attributes", {})

"""The arrays of a LatentStore, known in full before the first block is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from latentscan.errors import ParameterError, UsageError

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
JOBS = "jobs"  # the folder of the records of jobs
COMMITS = "commits"  # the group of the commit record, which format 1 has in the root
LATENTS = ("mu", "logvar", "z")
DIGEST_BYTES = 32
DEFAULT_CHUNK_ROWS = 4096

Compression = Literal["none", "zstd", "lz4"]


@dataclass(frozen=True)
class ArraySpec:
    """One array along `image`: dtype, the dimension behind `image` if any, and its length, fill value."""

    name: str
    dtype: str
    second: str | None
    width: int
    fill: Any


@dataclass(frozen=True)
class Schema:
    """What a LatentStore holds.

    Parameters
    ----------
    images
        Number of rows.
    components
        Number of latent axes.
    latents
        Which of `mu`, `logvar`, `z` the store has; an autoencoder has `z` alone.
    chunk_rows
        Rows of one block; a chunk is that many rows by all components.
    labels
        Names of the columns of `attribute`; empty where no attributes are known.
    split
        Whether the partition of the images is known.
    compression
        ``none``, ``zstd``, or ``lz4`` (with bitshuffle); every chunk has a crc32c checksum besides.

    Raises
    ------
    UsageError
        If no store can have these numbers.
    """

    images: int
    components: int
    latents: tuple[str, ...]
    chunk_rows: int = DEFAULT_CHUNK_ROWS
    labels: tuple[str, ...] = ()
    split: bool = False
    compression: Compression = "none"

    def __post_init__(self) -> None:
        for name in ("images", "components"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; a store needs at least 1")
        if self.chunk_rows < 1:
            raise ParameterError("expected at least 1", field="chunk_rows", value=self.chunk_rows)
        if not self.latents or not set(self.latents) <= set(LATENTS):
            raise UsageError(f"latent arrays are {self.latents}; expected some of {LATENTS}")
        if self.compression not in get_args(Compression):
            expected = ", ".join(get_args(Compression))
            raise ParameterError(f"expected one of {expected}", field="compression", value=self.compression)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.images // self.chunk_rows)

    def rows(self, block: int) -> range:
        """Return the images of a block."""
        start = block * self.chunk_rows
        return range(start, min(start + self.chunk_rows, self.images))

    @property
    def arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that a block consists of, in the order of `digest`."""
        specs = [
            ArraySpec(name, "float32", "component", self.components, float("nan"))
            for name in LATENTS
            if name in self.latents
        ]
        specs.append(ArraySpec("path", "str", None, 1, ""))
        specs.append(ArraySpec("status", "uint8", None, 1, 0))
        if self.split:
            specs.append(ArraySpec("split", "int8", None, 1, -1))
        if self.labels:
            specs.append(ArraySpec("attribute", "int8", "label", len(self.labels), 0))
        return tuple(specs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays that a block consists of, in the order of `digest`."""
        return tuple(spec.name for spec in self.arrays)

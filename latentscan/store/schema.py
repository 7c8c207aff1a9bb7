"""The arrays of a LatentStore, known in full before the first block is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from latentscan.errors import ParameterError, UsageError

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
JOBS = "jobs"  # the folder of the records of jobs
REWRITES = "rewrites"  # the group of blocks that are being replaced
COMMITS = "commits"  # the group of the commit record, which format 1 has in the root
LATENTS = ("mu", "logvar", "z")
DIGEST_BYTES = 32
DEFAULT_CHUNK_ROWS = 4096
CHUNK_ROWS_LIMIT = 2**31 - 1
BLOCK_BYTES_LIMIT = 2_000_000_000  # of a new store's block, which a task holds in memory
PATH_BYTES = 64  # of an image, in memory: a guess
BLOCKS_LIMIT = 2**22  # the commit record of more would take gigabytes

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
        Rows of one block; a chunk is that many rows by all components. It becomes the number of images
        where these are fewer, since chunks are filled up with padding.
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
        if not 1 <= self.chunk_rows <= CHUNK_ROWS_LIMIT:
            expected = f"expected a whole number from 1 to {CHUNK_ROWS_LIMIT}"
            raise ParameterError(expected, field="chunk_rows", value=self.chunk_rows)
        object.__setattr__(self, "chunk_rows", min(self.chunk_rows, self.images))
        if not self.latents or not set(self.latents) <= set(LATENTS):
            raise UsageError(f"latent arrays are {self.latents}; expected some of {LATENTS}")
        if self.compression not in get_args(Compression):
            expected = ", ".join(get_args(Compression))
            raise ParameterError(f"expected one of {expected}", field="compression", value=self.compression)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.images // self.chunk_rows)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block in memory: its latents, and about as much as its paths take."""
        return self.chunk_rows * (self.components * len(self.latents) * 4 + PATH_BYTES)

    def require_fitting_blocks(self) -> None:
        """Check that the blocks of a new store are neither too large for a task nor too many.

        Raises
        ------
        ParameterError
            If they are.
        """
        if self.block_bytes > BLOCK_BYTES_LIMIT:
            rows = BLOCK_BYTES_LIMIT // (self.block_bytes // self.chunk_rows)
            remedy = f"expected at most {rows}" if rows else "a single row is too large"
            raise ParameterError(
                f"a block of {self.chunk_rows:,} images with {self.components:,} components takes "
                f"{self.block_bytes:,} bytes, more than {BLOCK_BYTES_LIMIT:,}; {remedy}",
                field="chunk_rows",
                value=self.chunk_rows,
            )
        if self.blocks > BLOCKS_LIMIT:
            raise ParameterError(
                f"{self.images:,} images are {self.blocks:,} blocks, more than {BLOCKS_LIMIT:,}; "
                f"expected at least {-(-self.images // BLOCKS_LIMIT)}",
                field="chunk_rows",
                value=self.chunk_rows,
            )

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

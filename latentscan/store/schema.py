"""The arrays of a LatentStore, known in full before the first block is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from latentscan.errors import ParameterError, UsageError, shown
from latentscan.images.source import MISSING, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.images.source import Attributes

FORMAT_VERSION = 2
ATTRIBUTES_VERSION = 3  # of stores with attributes that are not binary, which older readers do not know
READABLE_VERSIONS = (1, 2, 3)
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

ATTRIBUTE_ARRAYS: dict[Kind, str] = {
    "binary": "attribute",
    "integer": "attribute_integer",
    "float": "attribute_float",
    "text": "attribute_text",
}
LABEL_NAMES: dict[Kind, str] = {  # the dimension behind `image`, and the coordinate with the labels
    "binary": "label",
    "integer": "label_integer",
    "float": "label_float",
    "text": "label_text",
}
_ATTRIBUTE_TYPES: dict[Kind, str] = {"binary": "int8", "integer": "int64", "float": "float64", "text": "str"}
LABEL_FIELDS: dict[Kind, str] = {  # of a schema
    "binary": "labels",
    "integer": "integer_labels",
    "float": "float_labels",
    "text": "text_labels",
}
CATEGORIES = "categories"  # the attribute of the group: the texts of each categorical attribute
LATENT_SHAPE = "latent_shape"  # the attribute of the group: the axes of a latent, where they are several

Compression = Literal["none", "zstd", "lz4"]


def label_fields(attributes: Attributes | None) -> dict[str, Any]:
    """Return the fields of a schema that name what is known of images."""
    return (
        {} if attributes is None else {LABEL_FIELDS[kind]: attributes.labels(kind) for kind in LABEL_FIELDS}
    )


def attribute_record(attributes: Attributes | None) -> dict[str, Any]:
    """Return what the group's attributes say of what is known of images: the texts of categorical ones."""
    return {CATEGORIES: attributes.categories} if attributes is not None and attributes.categories else {}


def shape_record(latent_shape: Sequence[int]) -> dict[str, Any]:
    """Return what the group's attributes say of the axes of a latent, without that of the images."""
    return {LATENT_SHAPE: list(latent_shape)} if len(latent_shape) > 1 else {}


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
        Names of the columns of `attribute`, which are binary; empty where no such attributes are known.
    split
        Whether the partition of the images is known.
    compression
        ``none``, ``zstd``, or ``lz4`` (with bitshuffle); every chunk has a crc32c checksum besides.
    integer_labels, float_labels, text_labels
        Names of the columns of `attribute_integer`, `attribute_float` and `attribute_text`.

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
    integer_labels: tuple[str, ...] = ()
    float_labels: tuple[str, ...] = ()
    text_labels: tuple[str, ...] = ()

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
        """Bytes of a block in memory: its latents, and about as much as its paths and attributes take."""
        numbers = 8 * len(self.integer_labels + self.float_labels)
        texts = PATH_BYTES * (1 + len(self.text_labels))
        return self.chunk_rows * (self.components * len(self.latents) * 4 + numbers + texts)

    @property
    def format_version(self) -> int:
        """The version of the format of a new store: the oldest whose readers know all of its arrays."""
        return ATTRIBUTES_VERSION if self.labelled.keys() - {"binary"} else FORMAT_VERSION

    @property
    def labelled(self) -> dict[Kind, tuple[str, ...]]:
        """The labels of the attributes, by kind; of kinds that there are."""
        return {kind: labels for kind, field in LABEL_FIELDS.items() if (labels := getattr(self, field))}

    @property
    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """The labels along the dimensions of attributes, by the name of the coordinate."""
        return {LABEL_NAMES[kind]: labels for kind, labels in self.labelled.items()}

    @property
    def document(self) -> dict[str, Any]:
        """It as a store records it: what older versions do not know is left out where it is empty."""
        newer = set(LABEL_FIELDS.values()) - {"labels"}
        return {name: value for name, value in asdict(self).items() if value or name not in newer}

    def place_of(self, label: str) -> tuple[Kind, int]:
        """Return the kind of an attribute, and its column among those of that kind.

        Raises
        ------
        UsageError
            If no attribute has that label.
        """
        for kind, labels in self.labelled.items():
            if label in labels:
                return kind, labels.index(label)
        known = [own for labels in self.labelled.values() for own in labels]
        raise UsageError(f"no attribute {shown(label)!r}; the store has {', '.join(known) or 'none'}")

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
        specs += [
            ArraySpec(
                ATTRIBUTE_ARRAYS[kind], _ATTRIBUTE_TYPES[kind], LABEL_NAMES[kind], len(labels), MISSING[kind]
            )
            for kind, labels in self.labelled.items()
        ]
        return tuple(specs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays that a block consists of, in the order of `digest`."""
        return tuple(spec.name for spec in self.arrays)

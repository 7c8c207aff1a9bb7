"""What encoding takes: one model of parameters for the command, for job files and for Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from latentscan.images.preprocessing import (
    LOADERS,
    Alpha,
    Channels,
    Fit,
    Loader,
    Orientation,
    Preprocessing,
    Resampling,
)
from latentscan.paths import absolute, is_url
from latentscan.store.schema import CHUNK_ROWS_LIMIT, DEFAULT_CHUNK_ROWS, Compression

ON_DISK = "a model on a disk; copy it to where all workers see it"
DEFAULT_LIMIT = 5.0  # of |epsilon|, where the run does not say


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _on_disk(model: str) -> str:
    if is_url(model):
        raise ValueError(f"expected {ON_DISK}")
    return model


Name = Annotated[str, Field(min_length=1)]
Location = Annotated[str, AfterValidator(absolute)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_several), Field(min_length=1)]
Models = Annotated[
    tuple[Annotated[Name, AfterValidator(_on_disk)], ...], BeforeValidator(_several), Field(min_length=1)
]


@dataclass(frozen=True)
class Noise:
    """How z is sampled from mu and logvar.

    Parameters
    ----------
    seed
        Seed of epsilon; an image and a seed have one epsilon, whatever the chunking.
    limit
        Largest absolute value of an element of epsilon.
    factor
        Factor on epsilon.
    """

    seed: int = 0
    limit: float = DEFAULT_LIMIT
    factor: float = 1.0


class EncodeParameters(Preprocessing):
    """How images become rows of a store.

    Of the fields of `Preprocessing`, those that are set replace those of the training; the others are not
    taken from here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    root: Location | None = Field(default=None, description="the folder that a list's paths are relative to")
    attributes: Location | None = Field(
        default=None,
        description="a table of what is known of the images (.csv, .tsv, .txt or .parquet): a column has "
        "their paths, or rows are in their order",
    )
    chunk_rows: int = Field(
        default=DEFAULT_CHUNK_ROWS, ge=1, le=CHUNK_ROWS_LIMIT, description="images of a block"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="seed of epsilon; 0 if left out")
    epsilon_limit: float | None = Field(
        default=None, ge=0, description="largest |epsilon|; the run's own, or 5, if left out"
    )
    epsilon_factor: float | None = Field(
        default=None, ge=0, description="factor on epsilon; the run's own, or 1, if left out"
    )
    compression: Compression = Field(
        default="none", description="of the chunks; pays off on a slow network only"
    )
    outputs: str | None = Field(
        default=None,
        description="what the model's outputs are, in order, where their names do not say it: mu, logvar, "
        "log_std, std, var, z, or - to ignore one, such as mu,logvar,-; or pairs, mu=LAYER,logvar=LAYER",
    )
    pixel_limit: int | None = Field(
        default=None, ge=1, description="reject images of more pixels; 64 million if left out"
    )
    override_preprocessing: bool = Field(
        default=False, description="allow another preprocessing than that of the training"
    )
    retry_rejected: bool = Field(
        default=False, description="read rejected images again; no other row changes"
    )
    layer: str = Field(
        default="",
        description="the layer of a Keras model whose output is the latent, or the model in it that is the "
        "encoder",
    )
    custom_objects: Location | None = Field(
        default=None,
        description="a Python file with the classes of layers that a Keras model names; it is run, "
        "and must be trusted",
    )
    trust_model: bool = Field(
        default=False,
        description="load a model that can run code (.h5, SavedModel, Lambda, FILE.py:FUNCTION)",
    )

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Those fields of the preprocessing that are set, or follow from the loader that is, by name."""
        names = self.model_fields_set & set(Preprocessing.model_fields)
        if "loader" in names:
            names |= LOADERS[self.loader].keys()
        return self.model_dump(include=names)


class EncodeKeywords(TypedDict, total=False):
    """The fields of `EncodeParameters` as keywords in Python."""

    crop: Literal["square", "none"] | int
    size: int | tuple[int, int]
    resampling: Resampling
    value_range: tuple[float, float]
    loader: Loader
    orientation: Orientation
    alpha: Alpha
    channels: Channels
    fit: Fit
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    root: str | None
    attributes: str | None
    chunk_rows: int
    seed: int | None
    epsilon_limit: float | None
    epsilon_factor: float | None
    compression: Compression
    outputs: str | None
    pixel_limit: int | None
    override_preprocessing: bool
    retry_rejected: bool
    layer: str
    custom_objects: str | None
    trust_model: bool


class Encode(EncodeParameters):
    """The part `encode` of a job: images, a model for each store, and the parameters of encoding."""

    images: str = Field(min_length=1, description="where the images are")
    model: Models = Field(description="a run folder or a model file for each store")

    @property
    def parameters(self) -> EncodeParameters:
        """Those fields that are set, but for the images and the models."""
        own = self.model_dump(include=set(EncodeParameters.model_fields), exclude_unset=True)
        return EncodeParameters(**own)

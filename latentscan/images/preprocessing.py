"""How an image becomes the pixels that an encoder sees, as one recorded value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ModelWrapValidatorHandler

Loader = Literal["latentscan", "pil", "keras", "tf"]
Orientation = Literal["exif", "stored"]
Alpha = Literal["white", "black", "dropped"]
Resampling = Literal["bilinear", "bicubic", "lanczos", "box", "nearest", "bilinear-aliased"]
Channels = Literal["rgb", "bgr", "grey"] | Annotated[int, Field(ge=1, le=1024)]
Fit = Literal["crop", "pad", "stretch"]

# What a loader does, where nothing else is asked for.
LOADERS: dict[str, dict[str, str]] = {
    "latentscan": {"orientation": "exif", "alpha": "white"},
    "pil": {"orientation": "stored", "alpha": "dropped"},
    "keras": {"orientation": "stored", "alpha": "dropped", "crop": "none", "resampling": "nearest"},
    "tf": {"orientation": "stored", "alpha": "dropped", "crop": "none", "resampling": "bilinear-aliased"},
}
ASSUMED = {"orientation": "stored", "alpha": "dropped"}  # of a training that is not known: as most loaders do
NORMALIZATIONS = {"imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}}
_CHANNELS: dict[str | int, str] = {"rgb": "RGB", "bgr": "BGR", "grey": "grey"}
_FIT = {"crop": "cropped to fit", "pad": "padded to fit", "stretch": "stretched to fit"}
_ORIENTATION = {"exif": "turned by EXIF", "stored": "not turned by EXIF"}
_ALPHA = {"white": "alpha over white", "black": "alpha over black", "dropped": "alpha dropped"}


def _sides(given: Any) -> Any:
    """Read HEIGHTxWIDTH, or as a list is written; a square is one number."""
    if isinstance(given, str) and (given.count("x") == 1 or given.count(",") == 1):
        given = given.replace("x", ",").split(",")
    if isinstance(given, list | tuple) and len(given) == 2 and str(given[0]) == str(given[1]):
        return given[0]
    return given


def _figures(name: str) -> BeforeValidator:
    """Return what reads a figure for each channel: the name of a data set, or numbers between commas."""

    def read(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        return NORMALIZATIONS[given][name] if given in NORMALIZATIONS else given.split(",")

    return BeforeValidator(read)


Side = Annotated[int, Field(ge=8, le=4096)]
Mean = Annotated[tuple[float, ...] | None, _figures("mean")]
Std = Annotated[tuple[Annotated[float, Field(gt=0)], ...] | None, _figures("std")]


class Preprocessing(BaseModel):
    """The way from an image file to an encoder's input; training and encoding share one value.

    Pixels are decoded to 8 bits, cropped, resized, and mapped from 0..255 to `value_range` where the model
    takes them; then `mean` is subtracted and `std` divides. Arrays of 16 bits and of floats stay as exact as
    they are: there 0..65535 and 0..1 are mapped. A record without `loader`, `orientation` and
    `alpha` is one of before these were choices, and means their defaults; so does one without the fields
    behind them. What is not given beside a loader is as that loader does it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    crop: Literal["square", "none"] | Annotated[int, Field(ge=1)] = Field(
        default="square",
        description="square: the largest central square; a number: a central square of that many pixels; "
        "none: the whole image, stretched",
    )
    size: Annotated[Side | tuple[Side, Side], BeforeValidator(_sides)] = Field(
        default=96, description="what the encoder takes, pixels: the side of a square, or HEIGHTxWIDTH"
    )
    resampling: Resampling = Field(
        default="bilinear",
        description="filter, antialiased but for nearest and bilinear-aliased (tf.image.resize)",
    )
    value_range: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="what the bytes 0 and 255 become at the encoder's input; in an array of uint16 0 and "
        "65535, of floats 0 and 1: 0:1 leaves these as they are",
    )
    loader: Loader = Field(
        default="latentscan",
        description="load images as a library does: pil (torchvision's ImageFolder), keras (load_img), tf "
        "(tf.io.decode_image, image_dataset_from_directory), or latentscan's own way",
    )
    orientation: Orientation = Field(
        default="exif", description="exif: turned as EXIF says; stored: not turned"
    )
    alpha: Alpha = Field(default="white", description="transparent pixels: over white or black, or dropped")
    channels: Channels = Field(
        default="rgb",
        description="colours in this order, or grey (0.299 red + 0.587 green + 0.114 blue); a number: that "
        "many channels of an array, as they are",
    )
    fit: Fit = Field(
        default="crop",
        description="crop: the largest part in the middle that has the shape of size; pad: the whole image "
        "with black beside it; stretch: the whole image, as crop none",
    )
    mean: Mean = Field(
        default=None,
        description="is subtracted after value_range: a number for each channel, or imagenet",
    )
    std: Std = Field(default=None, description="divides after that: a number for each channel, or imagenet")

    @model_validator(mode="wrap")
    @classmethod
    def _as_the_loader_does(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Fill what is not given beside a loader, which then still counts as not set."""
        if not isinstance(given, dict) or "loader" not in given:
            return validate(given)
        made = validate({**LOADERS.get(str(given["loader"]), {}), **given})
        made.model_fields_set.intersection_update(given)
        return made

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        """Check that there are as many means as channels, and that black is not white."""
        if self.value_range[0] == self.value_range[1]:
            raise ValueError("value_range: expected two different numbers, or all images are one")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) not in (1, self.shape[2]):
                raise ValueError(f"{name}: expected 1 number or {self.shape[2]}, got {len(values)}")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the encoder takes."""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        if isinstance(self.channels, int):
            return height, width, self.channels
        return height, width, 1 if self.channels == "grey" else 3

    @property
    def fitted(self) -> Fit:
        """How an image of another shape is fitted."""
        return "stretch" if self.crop == "none" and self.fit == "crop" else self.fit

    @property
    def in_words(self) -> str:
        """Shape, colours, values, and what becomes of the rest of an image, its orientation and its alpha."""
        height, width, _ = self.shape
        values = "in {:g}..{:g}".format(*self.value_range)
        if self.mean is not None or self.std is not None:
            values += ", then by mean and std"
        colours = _CHANNELS.get(self.channels, f"{self.channels} channels")
        shape = f"{height}x{width} {colours} {values}, {_FIT[self.fitted]}"
        return f"{shape}, {_ORIENTATION[self.orientation]}, {_ALPHA[self.alpha]}"


def assumed(preprocessing: Preprocessing, begun: Mapping[str, Any] | None) -> Preprocessing:
    """Return a preprocessing that no training has recorded, with what is assumed of its loader.

    Parameters
    ----------
    preprocessing
        What fits the model's input.
    begun
        The record of the preprocessing in the store that is to be gone on with, as JSON; None of a new store.
    """
    own = preprocessing.model_dump(exclude_unset=True)
    if begun is None:
        return Preprocessing.model_validate({**own, **ASSUMED})
    recorded = {name: begun[name] for name in ("loader", "orientation", "alpha") if name in begun}
    return Preprocessing.model_validate({**own, **recorded})


def as_recorded(preprocessing: Preprocessing, begun: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a store records of a preprocessing, as JSON.

    Parameters
    ----------
    preprocessing
        How its images are prepared.
    begun
        The record in the store that is gone on with: where one of before the loader was a choice means the
        same, it stays as it is.
    """
    record = preprocessing.model_dump(mode="json")
    fields = Preprocessing.model_fields
    return {
        name: value
        for name, value in record.items()
        if begun is None or name in begun or value != fields[name].default
    }
